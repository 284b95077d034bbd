//go:build linux && lab

package reliability

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/amends-dev/amends/internal/lab/world"
)

// process is the test binary in one of its roles, over all its restarts. If it ends by itself it is
// restarted, as an init system would do.
type process struct {
	name    string
	env     []string
	log     string // log file
	onReady func(where string)

	mu     sync.Mutex
	life   *life
	wanted bool
	fell   int    // how often it ended by itself
	how    string // how it ended the last time
}

// life is one run of a process.
type life struct {
	*world.Process
	ready chan struct{} // closed when the process is ready
}

// start starts the process without waiting until it is ready.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	return p.launch()
}

func (p *process) launch() error {
	l := &life{ready: make(chan struct{})}
	started, err := world.Start(world.Command{Name: p.name, Env: p.env, Log: p.log, Line: func(line string) {
		if where, ok := strings.CutPrefix(line, "ready "); ok {
			if p.onReady != nil {
				p.onReady(where)
			}
			close(l.ready)
		}
	}})
	if err != nil {
		return err
	}
	l.Process = started
	p.life = l
	go func() {
		<-l.Exited()
		p.ended(l)
	}()
	return nil
}

// ended restarts the process if it was not meant to end.
func (p *process) ended(l *life) {
	if p.current() == l {
		world.Hold(50 * time.Millisecond) // the process may end again at once
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wanted || p.life != l {
		return
	}
	p.fell++
	p.how = l.State().String()
	if err := p.launch(); err != nil {
		p.how = err.Error()
	}
}

// current returns the current life.
func (p *process) current() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// leave marks the process as meant to end.
func (p *process) leave() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = false
	return p.life
}

// kill ends the process with SIGKILL and returns when it is gone.
func (p *process) kill() error {
	l := p.leave()
	if l == nil || p.gone(l) {
		return nil
	}
	if err := l.Kill(); err != nil {
		return err
	}
	if !l.Killed() {
		p.took(l) // the process ended by itself before the signal
	}
	return nil
}

// gone reports whether the process had ended by itself, and counts it.
func (p *process) gone(l *life) bool {
	if !l.Gone() {
		return false
	}
	p.took(l)
	return true
}

// took counts an unexpected end.
func (p *process) took(l *life) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fell++
	p.how = l.State().String()
}

// terminate asks the process to end, which it must do with code 0.
func (p *process) terminate() error {
	l := p.leave()
	if p.gone(l) {
		return nil
	}
	return l.Terminate()
}

// pause suspends the process for d.
func (p *process) pause(d time.Duration) error {
	l := p.current()
	if err := l.Freeze(); err != nil {
		return errors.Join(err, l.Signal(syscall.SIGCONT))
	}
	world.Hold(d)
	return l.Signal(syscall.SIGCONT)
}

// awaitReady waits until the process has reported that it is ready.
func (p *process) awaitReady() error {
	err := world.Poll(p.name+" is ready", func() bool {
		select {
		case <-p.current().ready:
			return true
		default:
			return false
		}
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, world.Tail(p.log, 30))
	}
	return nil
}
