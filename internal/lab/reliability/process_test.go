//go:build linux && lab

package reliability

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// limit bounds everything that is waited for. It is generous: the machine may be
// busy with other things. How long it took is reported.
const limit = 60 * time.Second

// process is the test binary in one of its roles, over all its lives. When it
// ends by itself it is started again, as an init system would.
type process struct {
	name    string
	env     []string
	log     string // file
	onReady func(where string)

	mu     sync.Mutex
	life   *life
	wanted bool
	fell   int    // how often it ended by itself
	how    string // and how, the last time
}

// life is one run of a process.
type life struct {
	cmd    *exec.Cmd
	ready  chan struct{} // closed when it says so
	exited chan struct{} // closed when it is gone
}

// launches are the commands that the spawner starts.
var launches = make(chan func())

// spawner starts all processes from one thread that lives as long as this
// process: the kernel kills a child when the thread that started it ends.
func spawner() {
	runtime.LockOSThread()
	for launch := range launches {
		launch()
	}
}

var startSpawner = sync.OnceFunc(func() { go spawner() })

// start starts the process; it does not wait until it is ready.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	return p.launch()
}

func (p *process) launch() error {
	startSpawner()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	started := make(chan error)
	launches <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	l := &life{cmd: cmd, ready: make(chan struct{}), exited: make(chan struct{})}
	p.life = l
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if where, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				if p.onReady != nil {
					p.onReady(where)
				}
				close(l.ready)
			}
		}
		_ = cmd.Wait()
		close(l.exited)
		p.ended(l)
	}()
	return nil
}

// ended starts the process again unless it was meant to end.
func (p *process) ended(l *life) {
	if p.current() == l {
		hold(50 * time.Millisecond) // it may end at once again
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wanted || p.life != l {
		return
	}
	p.fell++
	p.how = l.cmd.ProcessState.String()
	if err := p.launch(); err != nil {
		p.how = err.Error()
	}
}

// current is the life that is under way.
func (p *process) current() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// leave says that the process is meant to end.
func (p *process) leave() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = false
	return p.life
}

func (p *process) signal(l *life, s syscall.Signal) error {
	err := syscall.Kill(-l.cmd.Process.Pid, s)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s to %s: %w", s, p.name, err)
	}
	return nil
}

// kill ends the process with SIGKILL and returns when it is gone.
func (p *process) kill() error {
	l := p.leave()
	if l == nil || p.gone(l) {
		return nil
	}
	if err := p.signal(l, syscall.SIGKILL); err != nil {
		return err
	}
	if err := awaitClosed(l.exited, p.name+" is gone"); err != nil {
		return err
	}
	if status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		p.took(l) // it was quicker
	}
	return nil
}

// gone reports whether the process had ended by itself, and takes a note of it.
func (p *process) gone(l *life) bool {
	select {
	case <-l.exited:
		p.took(l)
		return true
	default:
		return false
	}
}

// took counts an end that nobody asked for.
func (p *process) took(l *life) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fell++
	p.how = l.cmd.ProcessState.String()
}

// terminate asks the process to end, which it must do with code 0.
func (p *process) terminate() error {
	l := p.leave()
	if p.gone(l) {
		return nil
	}
	if err := p.signal(l, syscall.SIGTERM); err != nil {
		return err
	}
	if err := awaitClosed(l.exited, p.name+" has stopped"); err != nil {
		return err
	}
	if !l.cmd.ProcessState.Success() {
		return fmt.Errorf("%s was asked to stop: %s", p.name, l.cmd.ProcessState)
	}
	return nil
}

// pause stops the process where it is, for a while.
func (p *process) pause(d time.Duration) error {
	l := p.current()
	if err := p.signal(l, syscall.SIGSTOP); err != nil {
		return err
	}
	err := poll(p.name+" stands still", func() bool {
		_, state, _ := bytes.Cut(p.proc("stat"), []byte(") "))
		return bytes.HasPrefix(state, []byte("T"))
	})
	hold(d)
	return errors.Join(err, p.signal(l, syscall.SIGCONT))
}

// awaitReady waits until the process has said that it is ready.
func (p *process) awaitReady() error {
	return poll(p.name+" is ready", func() bool {
		select {
		case <-p.current().ready:
			return true
		default:
			return false
		}
	})
}

// hold lets a fault last.
func hold(d time.Duration) { <-time.After(d) }

func awaitClosed(c <-chan struct{}, what string) error {
	select {
	case <-c:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("not within %s: %s", limit, what)
	}
}

// poll asks until something holds.
func poll(what string, holds func() bool) error {
	for deadline := time.Now().Add(limit); !holds(); hold(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", limit, what)
		}
	}
	return nil
}
