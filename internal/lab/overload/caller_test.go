//go:build linux && lab

package overload

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

// callers holds goroutines that run sagas one after the other, each to its end.
type callers struct {
	client *client.Client // retries later when the coordinator asks for that
	def    *saga.Definition
	input  func(n int64) parcel
	cancel context.CancelFunc
	done   sync.WaitGroup
	ended  atomic.Int64

	mu    sync.Mutex
	times []time.Duration
	wrong []string
}

var numbers atomic.Int64 // parcel numbers, unique in a run

func ordinary(n int64) parcel { return parcel{N: n} }

// keep keeps n sagas in flight until stop is called.
func (s *system) keep(n int, def *saga.Definition, input func(int64) parcel) *callers {
	ctx, cancel := context.WithCancel(context.Background())
	c := &callers{client: s.newClient(client.RetryWhenOverloaded()), def: def, input: input, cancel: cancel}
	for range n {
		c.done.Go(func() {
			for ctx.Err() == nil {
				c.one()
			}
		})
	}
	s.t.Cleanup(c.stop)
	return c
}

// stop waits until every caller has seen the end of its current saga. No caller starts another one.
func (c *callers) stop() {
	c.cancel()
	c.done.Wait()
}

// one runs a saga to its end and retries through every fault.
func (c *callers) one() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	in := c.input(numbers.Add(1))
	id := contract.SagaID(fmt.Sprintf("%s-%d", c.def.Ref().Name, in.N))
	began := time.Now()
	_, err := c.client.Start(ctx, c.def, in, client.ID(id))
	if err == nil {
		err = c.await(ctx, id, in)
	}
	took := time.Since(began)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.wrong = append(c.wrong, err.Error())
		return
	}
	c.times = append(c.times, took)
	c.ended.Add(1)
}

func (c *callers) await(ctx context.Context, id contract.SagaID, in parcel) error {
	status, err := c.client.Wait(ctx, id)
	if err != nil {
		return err
	}
	if status.Phase != in.want() {
		return fmt.Errorf("saga %s is %s (%s), want %s", id, status.Phase, status.Reason, in.want())
	}
	return nil
}

// check reports an error for every saga that did not end as its input requires.
func (c *callers) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, wrong := range c.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(c.wrong)-i)
			break
		}
		t.Error(wrong)
	}
}

// measured holds what callers observed in a period.
type measured struct {
	rate     float64 // sagas that ended, per second
	p50, p99 float64 // durations of a saga, in milliseconds
}

// measure observes the callers for d.
func (c *callers) measure(d time.Duration) measured {
	c.mu.Lock()
	from := len(c.times)
	c.mu.Unlock()
	began := time.Now()
	pause(context.Background(), d)
	c.mu.Lock()
	times := slices.Clone(c.times[from:])
	c.mu.Unlock()
	m := measured{rate: float64(len(times)) / time.Since(began).Seconds()}
	if len(times) > 0 {
		slices.Sort(times)
		ms := func(q float64) float64 {
			return float64(times[min(int(q*float64(len(times))), len(times)-1)].Microseconds()) / 1000
		}
		m.p50, m.p99 = ms(0.5), ms(0.99)
	}
	return m
}

func (m measured) String() string {
	return fmt.Sprintf("%.0f sagas/s, p50 %.1f ms, p99 %.1f ms", m.rate, m.p50, m.p99)
}
