package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

const (
	// readyWithin limits the start of a coordinator, and restWithin its stop.
	readyWithin = 5 * time.Minute
	restWithin  = time.Minute
)

// process is a coordinator in its own process. Its participants and callers are in the process of
// the benchmark.
type process struct {
	name       string
	command    *exec.Cmd
	log        *bytes.Buffer // standard error of the process; read only after it has ended
	ended      chan error
	readyAfter time.Duration
	address    string // address of its bus
	api        apiv1connect.CoordinatorServiceClient
	workload   *workload
}

// memory holds resident memory in bytes, zero if the system does not report it.
type memory struct{ rss, anon int64 }

// serve starts a coordinator and waits until it accepts work.
func (l *large) serve(ctx context.Context, name string, retention time.Duration) (*process, error) {
	dir, ready := filepath.Join(l.Dir, name), filepath.Join(l.Dir, name+".ready")
	_ = os.Remove(ready)
	p := &process{name: name, command: l.Serve(dir, ready, retention), log: &bytes.Buffer{}, ended: make(chan error, 1)}
	p.command.Stderr = p.log
	began := time.Now()
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.command.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-p.ended:
			return nil, fmt.Errorf("the coordinator of the %s store ended: %w\n%s", name, errors.Join(err), p.log)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), p.stop())
		case <-tick.C:
		}
		data, err := os.ReadFile(ready)
		if err == nil {
			var where struct{ NATS, HTTP string }
			if err := json.Unmarshal(data, &where); err != nil {
				return nil, errors.Join(err, p.stop())
			}
			p.address, p.readyAfter = where.NATS, time.Since(began)
			p.api = apiv1connect.NewCoordinatorServiceClient(http.DefaultClient, where.HTTP)
			return p, nil
		}
		if time.Since(began) > readyWithin {
			return nil, errors.Join(fmt.Errorf("the coordinator of the %s store is not ready after %s", name, readyWithin), p.stop())
		}
	}
}

// stop stops the participants, then shuts the process down gracefully.
func (p *process) stop() error {
	var errs []error
	if p.workload != nil {
		errs = append(errs, p.workload.leave())
	}
	if err := p.command.Process.Signal(os.Interrupt); err != nil {
		return errors.Join(append(errs, err)...)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			errs = append(errs, fmt.Errorf("the coordinator of the %s store: %w\n%s", p.name, err, p.log))
		}
	case <-time.After(restWithin):
		errs = append(errs, fmt.Errorf("the coordinator of the %s store did not end within %s", p.name, restWithin), p.command.Process.Kill())
	}
	return errors.Join(errs...)
}

func (p *process) memory() memory     { return memoryOf(p.command.Process.Pid) }
func (p *process) cpu() time.Duration { return cpuOf(p.command.Process.Pid) }
