//go:build linux && lab

package world

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Command describes a process to start: the test binary, which gets its role from Env.
type Command struct {
	Name string
	Env  []string // variables in addition to the test's own

	Log    string                         // file for its output; "" sends it to Stderr
	Stderr io.Writer                      // used if Log is ""
	Line   func(line string)              // called with each line of stdout; if nil, stdout goes where stderr goes
	Within func(start func() error) error // calls start on the spawner's thread; nil means OnSpawner
}

// Process is one run of a program. The kernel kills it when the test's process ends.
type Process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// calls holds the functions that the spawner runs.
var calls = make(chan func())

// spawner runs all calls on one thread that lives as long as this process, for two reasons. The
// kernel kills a child when the thread that started it ends. And other goroutines must not see the
// network namespace of the thread.
func spawner() {
	runtime.LockOSThread()
	for call := range calls {
		call()
	}
}

var startSpawner = sync.OnceFunc(func() { go spawner() })

// OnSpawner calls f on the thread that starts all processes.
func OnSpawner(f func() error) error {
	startSpawner()
	done := make(chan error)
	calls <- func() { done <- f() }
	return <-done
}

// Start starts a process.
func Start(c Command) (*Process, error) {
	p := &Process{name: c.Name, log: c.Log, cmd: exec.Command(os.Args[0]), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stderr = c.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.Log != "" {
		log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		defer log.Close() // the child has its own descriptor
		p.cmd.Stderr = log
	}
	var out io.Reader
	if c.Line == nil {
		p.cmd.Stdout = p.cmd.Stderr
	} else {
		var err error
		if out, err = p.cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	within := c.Within
	if within == nil {
		within = OnSpawner
	}
	if err := within(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	go func() {
		if out != nil {
			readLines(out, c.Line)
		}
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// readLines calls f with each complete line. A last line without a newline was cut off and is
// ignored.
func readLines(from io.Reader, f func(string)) {
	for r := bufio.NewReader(from); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		f(strings.TrimSuffix(line, "\n"))
	}
}

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Gone reports whether the process has ended.
func (p *Process) Gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// State returns how the process ended.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Killed reports whether an ended process was killed by SIGKILL.
func (p *Process) Killed() bool {
	status, _ := p.State().Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Signal sends a signal to the process and its children. It returns nil if the process has already
// ended.
func (p *Process) Signal(s syscall.Signal) error {
	err := syscall.Kill(-p.cmd.Process.Pid, s)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s to %s: %w", s, p.name, err)
	}
	return nil
}

// AwaitExit waits until the process is gone.
func (p *Process) AwaitExit() error { return AwaitClosed(p.exited, p.name+" is gone") }

// Kill ends the process with SIGKILL and returns when it is gone.
func (p *Process) Kill() error {
	if p.Gone() {
		return nil
	}
	return errors.Join(p.Signal(syscall.SIGKILL), p.AwaitExit())
}

// Terminate asks the process to end. It returns an error if the exit code is not 0.
func (p *Process) Terminate() error {
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.AwaitExit()); err != nil {
		return err
	}
	if !p.State().Success() {
		return fmt.Errorf("%s was asked to stop: %s", p.name, p.State())
	}
	return nil
}

// Freeze suspends the process and returns when it has stopped. SIGCONT resumes it.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return Poll(p.name+" stands still", func() bool {
		_, state, _ := bytes.Cut(p.Proc("stat"), []byte(") ")) // the process name may contain spaces
		return bytes.HasPrefix(state, []byte("T"))
	})
}

// Proc returns a file of the process's /proc directory, or nothing if the process has ended.
func (p *Process) Proc(file string) []byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	return text
}

// Files returns the number of open files and connections of the process.
func (p *Process) Files() int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	return len(entries)
}

// Said reports whether the log contains a text.
func (p *Process) Said(text string) bool {
	log, _ := os.ReadFile(p.log)
	return bytes.Contains(log, []byte(text))
}

// Tail returns the last lines of a log.
func Tail(file string, lines int) string {
	log, _ := os.ReadFile(file)
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
