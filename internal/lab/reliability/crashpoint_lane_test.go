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

// lane is one system in which one process after the other dies. The rest stays
// alive.
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
	tools int // lives of the tool
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
	n.client = client.New(bus, client.Timeout(500*time.Millisecond), client.Poll(300*time.Millisecond))
	return n
}

// visits is the file in which a process notes the points that it passes.
func (n *lane) visits(name string) string { return filepath.Join(n.s.dir, name+".visits") }

func (n *lane) note(f world.Finding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.found = append(n.found, f)
}

// point says at which death a saga was there.
func (n *lane) point(id contract.SagaID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.of[id]; c != nil {
		return fmt.Sprintf("%s#%d", c.point, c.visit)
	}
	return "no single point"
}

// all is a copy of what is known of the sagas.
func (n *lane) all() []world.Run {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]world.Run, len(n.runs))
	for i, r := range n.runs {
		all[i] = *r
	}
	return all
}

// batch is a few sagas that were started together.
type batch struct {
	runs  []*world.Run
	ended chan struct{} // closed when all have ended, or nobody waits any more
	acked chan struct{} // closed at the first acknowledgement
}

// The inputs of a batch: two that can be carried out, one whose pivot says no,
// one whose first step says no.
var mixed = []world.Transfer{
	{From: 1, To: 2, Amount: 10}, {From: 3, To: 4, Amount: 20},
	{From: 5, To: 6, Amount: 30, Refuse: true}, {From: world.Penury, To: 7, Amount: 40},
}

// begin starts sagas and sees them to their ends in the background.
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

// callerTimeout is how long a caller waits for a saga; one that has not
// ended by then is stuck.
const callerTimeout = 30 * time.Second

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

// arm kills the owner of the point and starts it again, to die there. When it
// has, it is started once more, to live.
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

// watch waits until the armed life is over or the sagas have ended, and takes
// note whether it died where it should.
func (n *lane) watch(c *crash, l *life, until <-chan struct{}) error {
	select {
	case <-l.Exited():
	case <-until:
		select {
		case <-l.Exited():
		case <-time.After(100 * time.Millisecond): // it may die after the last word
			return nil
		}
	}
	status, _ := l.State().Sys().(syscall.WaitStatus)
	if status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("%s was to die there, and ended with: %s", c.owner, l.State())
	}
	return n.died(c)
}

// died looks for the last word of the process.
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
