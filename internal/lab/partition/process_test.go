//go:build linux && lab

package partition

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit bounds everything that is waited for. It is generous: the machine may be
// busy with other things.
const limit = 60 * time.Second

// process is the test binary in one of its roles.
type process struct {
	name   string
	log    string // file
	ready  string // file that is there once the process takes work; "" for none
	cmd    *exec.Cmd
	exited chan struct{} // closed when it is gone
}

// calls are made by the spawner.
var calls = make(chan func())

// spawner makes all calls from one thread that lives as long as this process: the
// kernel kills a child when the thread that started it ends, and what belongs to
// a thread, its network namespace, must not be seen by other goroutines.
func spawner() {
	runtime.LockOSThread()
	for call := range calls {
		call()
	}
}

var startSpawner = sync.OnceFunc(func() { go spawner() })

// onSpawner calls f on the spawner's thread.
func onSpawner(f func() error) error {
	startSpawner()
	done := make(chan error)
	calls <- func() { done <- f() }
	return <-done
}

// start starts a process in a namespace (nil: the test's own) and sees to it that
// nothing stays of it. It writes its log, and a file "ready" if it takes work, to
// a directory of its own.
func start(t *testing.T, in *namespace, name, dir string, p part, env ...string) *process {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	role, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	proc := &process{name: name, log: filepath.Join(dir, "log"), ready: filepath.Join(dir, "ready"), exited: make(chan struct{})}
	_ = os.Remove(proc.ready)
	log, err := os.OpenFile(proc.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the child has its own
	proc.cmd = exec.Command(os.Args[0])
	if p.Program != "" {
		proc.cmd = exec.Command(p.Program, p.Args...)
	}
	proc.cmd.Env = append(append(os.Environ(), roleEnv+"="+string(role)), env...)
	proc.cmd.Stdout, proc.cmd.Stderr = log, log
	proc.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := in.do(proc.cmd.Start); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = proc.cmd.Wait()
		close(proc.exited)
	}()
	t.Cleanup(func() {
		if err := proc.kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, proc.tail(30))
		}
	})
	return proc
}

// awaitReady waits until the process takes work.
func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	err := poll(p.name+" is ready", func() bool {
		_, err := os.Stat(p.ready)
		return err == nil || p.gone()
	})
	if err == nil && p.gone() {
		err = fmt.Errorf("%s has ended: %s", p.name, p.cmd.ProcessState)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// kill ends the process with SIGKILL and returns when it is gone.
func (p *process) kill() error {
	if p.gone() {
		return nil
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	return p.awaitExit()
}

// terminate asks the process to end, which it must do with code 0.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM)
	if err := p.awaitExit(); err != nil {
		t.Error(err)
	} else if !p.cmd.ProcessState.Success() {
		t.Errorf("%s was asked to stop: %s", p.name, p.cmd.ProcessState)
	}
}

func (p *process) awaitExit() error {
	select {
	case <-p.exited:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("not within %s: %s is gone", limit, p.name)
	}
}

// said reports whether the log holds a text.
func (p *process) said(text string) bool {
	log, _ := os.ReadFile(p.log)
	return strings.Contains(string(log), text)
}

// tail is the end of the log.
func (p *process) tail(n int) string {
	log, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// hold lets a fault last.
func hold(d time.Duration) { <-time.After(d) }

// poll asks until something holds.
func poll(what string, holds func() bool) error {
	for deadline := time.Now().Add(limit); !holds(); hold(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", limit, what)
		}
	}
	return nil
}
