//go:build linux && crashpoints && lab

package reliability

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/transport/natsbus"
)

// lane is a system in which one process after the other crashes while the rest keeps running.
type lane struct {
	t      *testing.T
	s      *system
	bus    *natsbus.Bus
	client *client.Client
	base   map[string][]string // environments of the processes

	mu    sync.Mutex
	runs  []*world.Run
	of    map[contract.SagaID]*crash
	found []world.Finding
	tools int // number of tool processes started
}

func newLane(t *testing.T, bug string) *lane {
	t.Helper()
	n := &lane{t: t, s: newSystem(t, bug), base: map[string][]string{}, of: map[contract.SagaID]*crash{}}
	for name, p := range n.s.processes {
		p.mu.Lock()
		p.env = append(slices.Clip(p.env), crashpoint.LogEnv+"="+n.visits(name))
		n.base[name] = p.env
		p.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(t.Context(), world.Limit)
	defer cancel()
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: n.s.proxies["load"].URL(), Name: "load"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	n.bus = bus
	n.client = client.New(bus, client.RequestTimeout(500*time.Millisecond), client.PollInterval(300*time.Millisecond))
	return n
}

// visits returns the file in which a process records the crash points that it passes.
func (n *lane) visits(name string) string { return filepath.Join(n.s.dir, name+".visits") }

func (n *lane) note(f world.Finding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.found = append(n.found, f)
}

// point returns the crash during which a saga was started.
func (n *lane) point(id contract.SagaID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.of[id]; c != nil {
		return fmt.Sprintf("%s#%d", c.point, c.visit)
	}
	return "no single point"
}

// all returns a copy of the runs recorded so far.
func (n *lane) all() []world.Run {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]world.Run, len(n.runs))
	for i, r := range n.runs {
		all[i] = *r
	}
	return all
}

// batch is a group of sagas started together.
type batch struct {
	runs  []*world.Run
	ended chan struct{} // closed when all have ended or timed out
	acked chan struct{} // closed at the first acknowledgement
}

// The inputs of a batch: two that complete, one whose pivot is rejected, and one whose first step
// is rejected.
var mixed = []world.Transfer{
	{From: 1, To: 2, Amount: 10}, {From: 3, To: 4, Amount: 20},
	{From: 5, To: 6, Amount: 30, Refuse: true}, {From: world.Penury, To: 7, Amount: 40},
}

// begin starts sagas and follows them to their ends in the background.
func (n *lane) begin(c *crash, inputs []world.Transfer) *batch {
	b := &batch{ended: make(chan struct{}), acked: make(chan struct{})}
	var once sync.Once
	var waiting sync.WaitGroup
	for _, input := range inputs {
		n.mu.Lock()
		r := &world.Run{ID: contract.SagaID(fmt.Sprintf("p%05d", len(n.runs))), Input: input, Began: time.Now()}
		n.runs = append(n.runs, r)
		n.of[r.ID] = c
		n.mu.Unlock()
		b.runs = append(b.runs, r)
		waiting.Go(func() { n.carry(r, func() { once.Do(func() { close(b.acked) }) }) })
	}
	go func() {
		waiting.Wait()
		once.Do(func() { close(b.acked) })
		close(b.ended)
	}()
	return b
}

// callerTimeout is how long a caller waits for a saga. One that has not ended by then is stuck. It
// covers the longest outage that a crash causes and the recovery from it.
const callerTimeout = longestOutage + world.Limit

func (n *lane) carry(r *world.Run, acked func()) {
	ctx, cancel := context.WithTimeout(n.t.Context(), callerTimeout)
	defer cancel()
	if _, err := n.client.Start(ctx, transferMoney, r.Input, client.ID(r.ID)); err != nil {
		n.note(world.Stuck(r.ID, fmt.Sprintf("start: %v", err)))
		return
	}
	n.mu.Lock()
	r.Acked = time.Now()
	n.mu.Unlock()
	acked()
	status, err := n.client.Wait(ctx, r.ID)
	if err != nil {
		n.note(world.Stuck(r.ID, fmt.Sprintf("wait: %v", err)))
		return
	}
	n.mu.Lock()
	r.Ended, r.Told = time.Now(), *status
	n.mu.Unlock()
}

// arm kills the owner of the crash point and restarts it so that it crashes there. After the crash
// it is restarted once more without the crash point.
func (n *lane) arm(c *crash) (*life, error) {
	if err := n.s.processes[c.owner].kill(); err != nil {
		return nil, err
	}
	return n.launch(c)
}

func (n *lane) launch(c *crash) (*life, error) {
	p := n.s.processes[c.owner]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	p.env = append(slices.Clip(n.base[c.owner]), fmt.Sprintf("%s=%s#%d", crashpoint.Env, c.point, c.visit))
	err := p.launch()
	p.env = n.base[c.owner]
	return p.life, err
}

// armReady arms the owner and waits until it says that it is ready.
func (n *lane) armReady(c *crash) (*life, error) {
	l, err := n.arm(c)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.ready:
		return l, nil
	case <-l.Exited():
		return l, nil
	case <-time.After(world.Limit):
		return nil, fmt.Errorf("%s is not ready", c.owner)
	}
}

// watch waits until the armed process has ended or the sagas have, and records whether the process
// crashed at the point.
func (n *lane) watch(c *crash, l *life, until <-chan struct{}) error {
	select {
	case <-l.Exited():
	case <-until:
		select {
		case <-l.Exited():
		case <-time.After(100 * time.Millisecond): // the process may end shortly after its last record
			return nil
		}
	}
	status, _ := l.State().Sys().(syscall.WaitStatus)
	if status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("%s was to die there, and ended with: %s", c.owner, l.State())
	}
	return n.died(c)
}

// died checks whether the last record of the process is the crash point.
func (n *lane) died(c *crash) error {
	data, err := os.ReadFile(n.visits(c.owner))
	if err != nil {
		return err
	}
	if !strings.Contains(string(data), crashpoint.Died+string(c.point)+"\n") {
		return fmt.Errorf("%s was killed, but not at the point", c.owner)
	}
	c.died = true
	return nil
}

// start starts processes and waits until they are ready.
func (n *lane) start(names ...string) error {
	_, err := n.s.again(names...)
	return err
}
