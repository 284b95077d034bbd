//go:build linux && lab

package partition

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/amends-dev/amends/internal/lab/world"
)

// TestDiskFull checks that a coordinator whose disk is full refuses starts and goes on, and continues by
// itself when there is space, also if it was killed and started meanwhile. No acknowledged saga is lost (I2, I10).
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, 300)
	s := newStation(t)
	s.args = []string{"--nats-url", s.url()}
	s.data = filepath.Join(disk, "data")
	s.server(t)
	c := s.coordinator(t, part{})
	c.awaitReady(t)
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast, disk, 8<<20)
	runs := s.flood(t, "flood", 100<<10, 1000)
	if c.Gone() {
		t.Fatalf("the coordinator has ended: %s", world.Tail(c.log, 5))
	}
	if err := c.Kill(); err != nil { // what only the log has is not lost, whatever a start on the full disk does
		t.Fatal(err)
	}
	c = s.coordinator(t, part{})
	if err := world.Poll("it says why it is not ready", func() bool { return c.Said("waiting for the coordinator to be ready") || c.Gone() }); err != nil || c.Gone() {
		t.Fatalf("%v: %s", err, world.Tail(c.log, 5))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.awaitReady(t)
	t.Logf("%d starts until the disk was full", len(runs))
	bank := s.bank(t)
	// On a slow machine, the deadlines of all the others have passed by now.
	runs = append(runs, s.flood(t, "later", 100, 20)...)
	s.finish(t, runs, bank, c)
}

// TestLittleSpace checks that a coordinator that is not ready because its disk is almost full logs
// the reason.
func TestLittleSpace(t *testing.T) {
	s := newStation(t)
	s.args = []string{"--nats-url", s.url()}
	s.data = filepath.Join(smallDisk(t, 100), "data")
	s.server(t)
	c := s.coordinator(t, part{})
	if err := world.Poll("it says why it is not ready", func() bool { return c.Said("waiting for the coordinator to be ready") || c.Gone() }); err != nil || c.Gone() {
		t.Errorf("%v: %s", err, world.Tail(c.log, 5))
	}
	c.terminate(t)
}

// fill leaves only the given space free on a disk.
func fill(t *testing.T, file, disk string, left int64) {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(disk, &s); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(s.Bavail)*s.Bsize-left); err != nil {
		t.Fatal(err)
	}
}

// TestEmbeddedDiskTooSmall checks that the coordinator refuses a disk too small for the embedded
// server's streams, and names the reason.
func TestEmbeddedDiskTooSmall(t *testing.T) {
	s := newStation(t)
	s.data = filepath.Join(smallDisk(t, 100), "data")
	s.coordinator(t, part{}).endsWith(t, 3, "give JetStream more storage", "make room on the disk")
}

// smallDisk returns the path of an ext4 file system of the given size on a loop device. It is
// unmounted lazily at once and reached through a descriptor, so mount and device disappear with
// this process.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("file systems are mounted by root")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed (Debian: e2fsprogs, mount)", tool)
		}
	}
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	out, err := exec.Command("sh", "-ec", fmt.Sprintf(`truncate -s %dM %s; mkfs.ext4 -q -m 0 %s; mkdir %s; mount -o loop %s %s`,
		megabytes, image, image, at, image, at)).CombinedOutput()
	if err != nil {
		if _, missing := os.Stat("/dev/loop-control"); missing != nil {
			t.Skipf("there are no loop devices here: %v", missing)
		}
		t.Fatalf("make a small disk: %v: %s", err, out)
	}
	root, err := os.Open(at)
	if err := errors.Join(err, syscall.Unmount(at, syscall.MNT_DETACH)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), root.Fd())
}

// TestOpenFiles checks that the coordinator refuses to start with too few file descriptors, and
// names what it could not create. With enough descriptors it starts on the same directory (I10).
func TestOpenFiles(t *testing.T) {
	s := newStation(t)
	s.coordinator(t, part{Files: 10}).endsWith(t, 1, "too many open files")
	c := s.coordinator(t, part{})
	c.awaitReady(t)
	c.terminate(t)
}

// TestMemory checks that a coordinator killed for lack of memory has lost nothing when it restarts
// with more. With enough memory, it adapts to its limit and keeps running (I2, I10).
func TestMemory(t *testing.T) {
	group := cgroup(t)
	s := newStation(t)
	group.limit(t, 72<<20)
	c := s.coordinator(t, part{Cgroup: group.path}, "GOMEMLIMIT=off") // without this, it slows down for a minute first
	c.awaitReady(t)
	runs := s.flood(t, "flood", 200<<10, 2000)
	if err := c.AwaitExit(); err != nil {
		t.Fatal(err)
	}
	if !c.Killed() || group.kills(t) == 0 {
		t.Errorf("it ended: %s, after %d kills for want of memory:\n%s", c.State(), group.kills(t), world.Tail(c.log, 5))
	}
	t.Logf("killed after %d starts", len(runs))

	group.limit(t, 400<<20)
	before := group.kills(t)
	s.args = append(s.args, "--log-level", "info")
	c = s.coordinator(t, part{Cgroup: group.path})
	c.awaitReady(t)
	if said, want := world.Tail(c.log, 1000), fmt.Sprint(`"limit_bytes":`, 400<<20*9/10); !strings.Contains(said, want) {
		t.Errorf("it does not say %s of its cgroup:\n%s", want, said)
	}
	bank := s.bank(t)
	s.finish(t, runs, bank, c)
	if n := group.kills(t) - before; n > 0 {
		t.Errorf("killed %d times with enough memory", n)
	}
}

// group is a cgroup with a memory limit.
type group struct{ path string }

func cgroup(t *testing.T) group {
	t.Helper()
	g := group{"/sys/fs/cgroup/memory/amends-partition-" + rand.Text()[:8]}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		t.Skipf("no cgroup of the memory controller, version 1, can be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := world.Poll("the cgroup is empty", func() bool { return os.Remove(g.path) == nil }); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (g group) limit(t *testing.T, bytes int) {
	t.Helper()
	write(t, g.path+"/memory.limit_in_bytes", fmt.Appendf(nil, "%d", bytes))
}

// kills counts the processes killed for lack of memory.
func (g group) kills(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile(g.path + "/memory.oom_control")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "oom_kill %d", &n)
	}
	return n
}
