//go:build linux && lab

package overload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
)

// The parameters of an overload.
const (
	factor      = 10   // times the sustainable rate
	outstanding = 4096 // concurrent requests; beyond that, callers wait locally
	hintAtLeast = 50 * time.Millisecond
)

// excess describes a kind of overload and the least that the system must achieve under it.
type excess struct {
	name     string
	handling handling
	callers  int // used to measure the sustainable rate
	tune     func(*coordinator.Config)
	offered  float64 // required offered load, as a multiple of the sustainable rate
	refused  float64 // required refusals, in percent of the starts
	ended    float64 // required throughput during the overload, in percent of the sustainable rate
}

// TestTenTimesTooMuch checks I2 and I10 under overload: excess starts are refused at once with a
// retry hint, accepted sagas end as they should, and memory is bounded. In the short form the
// participants are the bottleneck. In the long form the coordinator and its bus are too; they share
// the processors with the callers, so throughput is lower during the overload.
func TestTenTimesTooMuch(t *testing.T) {
	ways := []excess{{
		"participants", handling{takes: 20 * time.Millisecond, concurrency: 8}, 64,
		func(c *coordinator.Config) { c.MaxOpen = 500 }, factor / 2, 50, 20,
	}}
	offer := 5 * time.Second
	if *overloadMinutes > 0 {
		offer = time.Duration(*overloadMinutes * float64(time.Minute))
		ways = append(ways, excess{"coordinator", handling{concurrency: 64}, 256, nil, 1, 5, 0})
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) { way.run(t, offer) })
	}
}

func (e excess) run(t *testing.T, offer time.Duration) {
	s := newSystem(t, e.handling, e.tune)
	memory := watchMemory(t)
	c := s.keep(e.callers, deliver, ordinary)
	c.measure(500 * time.Millisecond)
	before := c.measure(2 * time.Second)
	c.stop()
	calm := memory.take()
	t.Logf("sustainable: %s; %s", before, calm)

	f := s.flood(before.rate*factor, offer)
	peak := memory.take()
	t.Logf("offered: %s; %s", f, peak)
	drained := time.Now()
	s.drain()
	t.Logf("the last of them ended %.1f s later", time.Since(drained).Seconds())

	after := s.keep(e.callers, deliver, ordinary)
	after.measure(300 * time.Millisecond)
	recovered := after.measure(1500 * time.Millisecond)
	after.stop()
	t.Logf("afterwards: %s", recovered)

	c.check(t)
	after.check(t)
	f.check(t, s)
	atLeast(t, "the offered rate, as a multiple of the sustainable", f.rate()/before.rate, e.offered)
	atLeast(t, "the share of refused starts, in percent", 100*float64(f.refused.Load())/float64(f.offered.Load()), e.refused)
	atLeast(t, "sagas that ended per second of overload, in percent of the sustainable", 100*float64(f.ended)/f.took.Seconds()/before.rate, e.ended)
	atMost(t, "peak heap in MiB", peak.heap, 3*calm.heap+128)
	atMost(t, "peak resident memory in MiB", peak.anon, 3*calm.anon+128)
	atLeast(t, "the rate afterwards, in percent of the one before", 100*recovered.rate/before.rate, 33)
}

// flood counts the results of starts that do not wait for one another.
type flood struct {
	offered, accepted, refused, unhinted atomic.Int64

	took  time.Duration
	ended int // sagas that ended during the flood

	mu    sync.Mutex
	ids   []contract.SagaID
	other []string // errors that no caller should see
}

// flood offers rate starts a second for d, and returns when each has been answered.
func (s *system) flood(rate float64, d time.Duration) *flood {
	f := &flood{}
	began, before := time.Now(), s.finished()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	answered := s.offerAll(ctx, f, rate)
	f.took = time.Since(began)
	f.ended = s.finished() - before
	answered()
	return f
}

// offerAll offers rate starts a second until ctx ends. The function it returns waits until each has
// been answered.
func (s *system) offerAll(ctx context.Context, f *flood, rate float64) (answered func()) {
	calling, cancel := context.WithCancel(context.Background())
	room := make(chan struct{}, outstanding)
	var calls sync.WaitGroup
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ctx.Err() == nil; <-tick.C {
		for due := int(time.Since(began).Seconds() * rate); n < due && ctx.Err() == nil; n++ {
			room <- struct{}{}
			calls.Go(func() {
				defer func() { <-room }()
				s.offer(calling, f)
			})
		}
	}
	return func() {
		late := time.AfterFunc(limit, cancel)
		calls.Wait()
		late.Stop()
		cancel()
	}
}

// offer starts one saga and does not retry a refusal.
func (s *system) offer(ctx context.Context, f *flood) {
	f.offered.Add(1)
	in := ordinary(numbers.Add(1))
	id := contract.SagaID(fmt.Sprintf("flood-%d", in.N))
	_, err := s.client.Start(ctx, deliver, in, client.ID(id))
	var refused *client.Error
	switch {
	case err == nil:
		f.accepted.Add(1)
		f.mu.Lock()
		f.ids = append(f.ids, id)
		f.mu.Unlock()
	case errors.Is(err, client.ErrOverloaded) && errors.As(err, &refused):
		f.refused.Add(1)
		if refused.RetryAfter < hintAtLeast {
			f.unhinted.Add(1)
		}
	default:
		f.mu.Lock()
		f.other = append(f.other, err.Error())
		f.mu.Unlock()
	}
}

func (f *flood) rate() float64 { return float64(f.offered.Load()) / f.took.Seconds() }

func (f *flood) String() string {
	return fmt.Sprintf("%.0f starts/s for %.1f s: %d offered, %d accepted, %d refused, %d of the accepted ended meanwhile",
		f.rate(), f.took.Seconds(), f.offered.Load(), f.accepted.Load(), f.refused.Load(), f.ended)
}

// check checks every accepted saga in the store.
func (f *flood) check(t *testing.T, s *system) {
	t.Helper()
	if n := f.unhinted.Load(); n > 0 {
		t.Errorf("%d refusals do not say when to come back", n)
	}
	for i, other := range f.other {
		if i == 5 {
			t.Errorf("and %d more", len(f.other)-i)
			break
		}
		t.Errorf("a start was neither accepted nor refused: %s", other)
	}
	missing, wrong := 0, 0
	for _, id := range f.ids {
		in, err := s.coord.store.Load(t.Context(), id)
		switch {
		case err != nil:
			missing++
		case in.Phase != contract.PhaseCompleted:
			wrong++
		}
	}
	if missing+wrong > 0 {
		t.Errorf("of %d accepted sagas %d are lost and %d did not complete (I2)", len(f.ids), missing, wrong)
	}
}
