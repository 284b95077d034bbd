//go:build linux && lab

package powercut

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amends-dev/amends/internal/lab/world"
)

// The kernel's own power cut for a mounted file system. It stops immediately, and no pending data
// reaches the device, including the journal.
const (
	ioctlShutdown     = 0x8004587d
	shutdownNoLogSync = 2
)

// TestExt4Shutdown cuts the power of an ext4 file system on a loop device.
func TestExt4Shutdown(t *testing.T) {
	needs(t, "/dev/loop-control", "loop device")
	for _, program := range []string{"mkfs.ext4", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s here: %v", program, err)
		}
	}
	image, dir := filepath.Join(t.TempDir(), "disk.img"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 96<<20); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-F", image)
	mount := func() { command(t, "mount", "-o", "loop", image, dir) }
	mount()
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })

	want := form(*cuts/10, 20, 3)
	rng := rngOf(*seed, "ext4")
	sum := tally{began: time.Now(), disks: 1}
	heard := newLedger()
	for ; sum.cuts < want && !t.Failed(); sum.cuts++ {
		var complaints bytes.Buffer
		load := start(t, &complaints, roleEnv+"=load", dirEnv+"="+dir, seedEnv+"="+strconv.FormatUint(uint64(rng.Uint32()), 10))
		heard.hear(t, load.listen(t, 1+rng.IntN(400), &complaints))
		if err := shutdown(dir); err != nil {
			t.Fatal(err)
		}
		heard.hear(t, load.kill())
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
		mount()
		if err := heard.auditFile(t.Context(), dir); err != nil {
			sum.lost++
			t.Errorf("seed %d, cut %d: %v", *seed, sum.cuts, err)
		}
	}
	sum.acks, sum.sagas = heard.acks, len(heard.promises)
	sum.log(t, "ext4")
}

// shutdown cuts the power of the file system that holds a directory.
func shutdown(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.IoctlSetPointerInt(int(d.Fd()), ioctlShutdown, shutdownNoLogSync); err != nil {
		return fmt.Errorf("shut %s down: %w", dir, err)
	}
	return nil
}

// listen returns the next n lines that the child prints.
func (c *child) listen(t *testing.T, n int, complaints *bytes.Buffer) (said []string) {
	t.Helper()
	deadline := time.After(world.Limit)
	for range n {
		select {
		case line, open := <-c.lines:
			if !open {
				t.Fatalf("the load ended by itself: %s", complaints.String())
			}
			said = append(said, line)
		case <-deadline:
			t.Fatalf("the load said only %d of %d lines within %s", len(said), n, world.Limit)
		}
	}
	return said
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
