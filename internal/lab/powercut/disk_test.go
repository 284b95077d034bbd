//go:build linux && lab

package powercut

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit bounds everything that is waited for. It is generous: the machine may be
// busy with other things.
const limit = 60 * time.Second

// disk gives orders to the process of a disk.
type disk struct {
	t       *testing.T
	dir     string // where it is mounted
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers chan string
	cuts    chan struct{}
	end     func() // takes the disk and its process away; at the end of the test at the latest
}

// newDisk starts an empty disk, and skips the test where there cannot be one.
func newDisk(t *testing.T) *disk {
	t.Helper()
	needs(t, "/dev/fuse", "FUSE")
	d := &disk{t: t, dir: t.TempDir(), answers: make(chan string, 1), cuts: make(chan struct{}, 16)}
	d.cmd = exec.Command(os.Args[0])
	d.cmd.Env = append(os.Environ(), roleEnv+"=disk")
	d.cmd.Stderr = os.Stderr
	var err error
	if d.orders, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "cut" {
				d.cuts <- struct{}{}
			} else {
				d.answers <- lines.Text()
			}
		}
	}()
	d.end = sync.OnceFunc(func() {
		_ = d.orders.Close()
		<-read
		if err := d.cmd.Wait(); err != nil {
			t.Errorf("the disk's process: %v", err)
		}
		_ = syscall.Unmount(d.dir, syscall.MNT_DETACH) // if it died
		_ = os.RemoveAll(d.dir)
	})
	t.Cleanup(d.end)
	return d
}

// needs skips a test where root or a device is missing.
func needs(t *testing.T, device, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a disk needs root")
	}
	if _, err := os.Stat(device); err != nil {
		t.Skipf("there is no %s here: %v", what, err)
	}
}

// order gives an order and waits until it is carried out.
func (d *disk) order(name string, value any) {
	d.t.Helper()
	if _, err := fmt.Fprintln(d.orders, name, value); err != nil {
		d.t.Fatal(err)
	}
	select {
	case answer := <-d.answers:
		if answer != "ok" {
			d.t.Fatalf("disk: %s %v: %s", name, value, answer)
		}
	case <-time.After(limit):
		d.t.Fatalf("disk: %s %v: no answer within %s", name, value, limit)
	}
}

// mount puts the power on.
func (d *disk) mount() {
	d.t.Helper()
	d.order("mount", d.dir)
}

// unmount cuts the power, if it was not cut before, and takes the mount away.
func (d *disk) unmount() {
	d.t.Helper()
	d.order("arm", 0)
	select {
	case <-d.cuts:
	case <-time.After(limit):
		d.t.Fatal("no cut")
	}
	d.order("unmount", "")
}

// child is a process of the test binary in one of its roles. It ends when its
// input does, at the latest.
type child struct {
	cmd   *exec.Cmd
	input io.Closer
	lines chan string // whole lines of its output; closed at its end
}

// start starts a child that is told its role and more by the environment.
func start(t *testing.T, stderr io.Writer, env ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0]), lines: make(chan string, 1<<16)}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stderr = stderr
	var err error
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return // what has no end was cut off
			}
			c.lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

// kill ends the child and returns what it said since.
func (c *child) kill() (said []string) {
	_ = c.cmd.Process.Kill()
	for line := range c.lines {
		said = append(said, line)
	}
	_ = c.cmd.Wait()
	_ = c.input.Close()
	return said
}

// exit waits for the end that the child finds by itself.
func (c *child) exit(t *testing.T) (code int) {
	t.Helper()
	ended := time.AfterFunc(limit, func() { _ = c.cmd.Process.Kill() })
	defer ended.Stop()
	for range c.lines {
	}
	err := c.cmd.Wait()
	_ = c.input.Close()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode()
}
