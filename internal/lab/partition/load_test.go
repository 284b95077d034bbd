//go:build linux && lab

package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// workers is how many callers each connection has, each starting one saga after
// the other.
const workers = 4

// run is what a caller knows of one saga.
type run struct {
	id    contract.SagaID
	input transfer
	began time.Time // before the first request
	acked time.Time // zero: the start was not acknowledged
	ended time.Time // zero: its end was not seen
	told  transport.Status
	wrong string // an answer that no caller should get
}

// load starts sagas until it is told to stop, over one connection to each node,
// so that faults at one of them do not make the measure blind.
type load struct {
	buses []*natsbus.Bus
	stop  context.CancelFunc // no further sagas
	done  sync.WaitGroup

	mu   sync.Mutex
	runs []*run
}

// startLoad starts callers, each of the configurations having one connection.
func startLoad(t *testing.T, name string, configs ...natsbus.Config) *load {
	t.Helper()
	l := &load{}
	working, stop := context.WithCancel(t.Context())
	l.stop = stop
	t.Cleanup(func() {
		stop()
		l.done.Wait()
		for _, b := range l.buses {
			_ = b.Close()
		}
	})
	for i, config := range configs {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		bus, err := natsbus.Connect(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		l.buses = append(l.buses, bus)
		c := client.New(bus, client.Timeout(time.Second))
		for w := range workers {
			l.done.Go(func() {
				l.work(working, c, fmt.Sprintf("%s-%d-%d", name, i, w), rand.New(rand.NewPCG(uint64(i), uint64(w))))
			})
		}
	}
	return l
}

// work is one caller.
func (l *load) work(ctx context.Context, c *client.Client, name string, rng *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		r := &run{
			id:    contract.SagaID(fmt.Sprintf("%s-%06d", name, n)),
			input: transfer{From: rng.IntN(accounts), To: rng.IntN(accounts), Amount: 1 + rng.Int64N(1000), Refuse: rng.IntN(8) == 0},
			began: time.Now(),
		}
		l.mu.Lock()
		l.runs = append(l.runs, r)
		l.mu.Unlock()
		l.carry(ctx, c, r)
		select {
		case <-time.After(time.Duration(10+rng.IntN(50)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// carry starts a saga and sees it to its end; when the load stops it no longer
// waits for the end, but still for the answer to the start: a request that is under
// way makes a saga, of which somebody has to know.
func (l *load) carry(ctx context.Context, c *client.Client, r *run) {
	starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	_, err := c.Start(starting, transferMoney, r.input, client.ID(r.id))
	if err == nil {
		l.mu.Lock()
		r.acked = time.Now()
		l.mu.Unlock()
		waiting, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err = l.await(waiting, c, r)
	}
	if err != nil && !errors.Is(err, client.ErrUnavailable) && !errors.Is(err, client.ErrOverloaded) {
		l.mu.Lock()
		r.wrong = err.Error()
		l.mu.Unlock()
	}
}

// await waits for the end of a saga.
func (l *load) await(ctx context.Context, c *client.Client, r *run) error {
	status, err := c.Wait(ctx, r.id)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.ended, r.told = time.Now(), *status
	return nil
}

// all is a copy of what is known.
func (l *load) all() []run {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]run, len(l.runs))
	for i, r := range l.runs {
		all[i] = *r
	}
	return all
}

// endedSince is when the first saga that began after a moment had ended; zero:
// not yet.
func (l *load) endedSince(since time.Time) (first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range slices.Backward(l.runs) {
		if r.began.After(since) && !r.ended.IsZero() && (first.IsZero() || r.ended.Before(first)) {
			first = r.ended
		}
		if since.Sub(r.began) > limit {
			break
		}
	}
	return first
}

// underWay counts the sagas whose start was acknowledged and whose end was not
// seen.
func (l *load) underWay() (n int) {
	for _, r := range l.all() {
		if !r.acked.IsZero() && r.ended.IsZero() {
			n++
		}
	}
	return n
}

// finish stops the load and waits once more for every saga whose end was not seen;
// one whose start nobody answered may be there all the same.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := client.New(l.buses[0], client.Timeout(time.Second))
	var waiting sync.WaitGroup
	for _, r := range l.runs { // nobody else writes any more
		if r.ended.IsZero() {
			waiting.Go(func() { _ = l.await(ctx, c, r) }) // the audit looks for itself
		}
	}
	waiting.Wait()
}

// longestGap is the longest time in a span in which no caller saw a saga end.
func longestGap(runs []run, from, to time.Time) (longest time.Duration) {
	ends := []time.Time{from, to}
	for i := range runs {
		if e := runs[i].ended; e.After(from) && e.Before(to) {
			ends = append(ends, e)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for i := range ends[1:] {
		longest = max(longest, ends[i+1].Sub(ends[i]))
	}
	return longest
}

// over is a bus configuration from within a host, with one of the nodes first.
func (n *network) over(from string, first int) natsbus.Config {
	return natsbus.Config{
		URL: n.urls(first), Name: from, Replicas: 3,
		Options: []nats.Option{nats.SetCustomDialer(n.hosts[from]), nats.DontRandomize()},
	}
}
