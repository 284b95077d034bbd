//go:build linux && lab

package powercut

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/lab/world"
)

// disk controls the process of a disk.
type disk struct {
	t       *testing.T
	dir     string // mount point
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers chan string
	cuts    chan struct{}
	end     func() // unmounts the disk and ends its process; called at the end of the test at the latest
}

// newDisk starts an empty disk. It skips the test if the machine does not support one.
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
		_ = syscall.Unmount(d.dir, syscall.MNT_DETACH) // needed if the process crashed
		_ = os.RemoveAll(d.dir)
	})
	t.Cleanup(d.end)
	return d
}

// needs skips a test without root or without a device.
func needs(t *testing.T, device, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a disk needs root")
	}
	if _, err := os.Stat(device); err != nil {
		t.Skipf("there is no %s here: %v", what, err)
	}
}

// order sends a command to the disk and waits until it is done.
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
	case <-time.After(world.Limit):
		d.t.Fatalf("disk: %s %v: no answer within %s", name, value, world.Limit)
	}
}

// mount restores the power and mounts the disk.
func (d *disk) mount() {
	d.t.Helper()
	d.order("mount", d.dir)
}

// unmount cuts the power, if it is not cut already, and unmounts the disk.
func (d *disk) unmount() {
	d.t.Helper()
	d.order("arm", 0)
	select {
	case <-d.cuts:
	case <-time.After(world.Limit):
		d.t.Fatal("no cut")
	}
	d.order("unmount", "")
}

// child is a process of the test binary in one of its roles.
type child struct {
	*world.Process
	lines chan string // complete lines of its output; closed at its end
}

// start starts a child whose role and parameters are in the environment.
func start(t *testing.T, stderr io.Writer, env ...string) *child {
	t.Helper()
	c := &child{lines: make(chan string, 1<<16)}
	var err error
	c.Process, err = world.Start(world.Command{Name: "the " + t.Name() + "'s process", Env: env, Stderr: stderr, Line: func(line string) { c.lines <- line }})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-c.Exited()
		close(c.lines)
	}()
	t.Cleanup(func() { c.kill() })
	return c
}

// kill kills the child and returns the lines that were not read yet.
func (c *child) kill() (said []string) {
	_ = c.Signal(syscall.SIGKILL)
	for line := range c.lines {
		said = append(said, line)
	}
	return said
}

// exit waits until the child ends by itself.
func (c *child) exit() (code int) {
	ended := time.AfterFunc(world.Limit, func() { _ = c.Signal(syscall.SIGKILL) })
	defer ended.Stop()
	for range c.lines { // drains the output
	}
	return c.State().ExitCode()
}
