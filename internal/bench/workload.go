package bench

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/transport/natsbus"
)

// workload holds the participants and callers of a coordinator in a separate process.
type workload struct {
	world
	started atomic.Int64
}

// newWorkload connects a workload to the bus at address.
func newWorkload(ctx context.Context, address string) (c *workload, err error) {
	c = &workload{}
	defer func() {
		if err != nil {
			_ = c.leave()
		}
	}()
	quiet := slog.New(slog.DiscardHandler)
	for _, p := range services(AllWell, quiet) {
		bus, err := c.dial(ctx, address, p.Name())
		if err != nil {
			return nil, err
		}
		c.run(ctx, func(ctx context.Context) error { return p.Run(ctx, bus) })
	}
	bus, err := c.dial(ctx, address, "callers")
	if err != nil {
		return nil, err
	}
	c.caller = client.New(bus, client.RetryWhenOverloaded())
	return c, nil
}

func (c *workload) dial(ctx context.Context, address, name string) (*natsbus.Bus, error) {
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: address, Name: name, Options: []nats.Option{nats.NoReconnect()}})
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, bus.Close)
	return bus, nil
}

// leave stops the participants and callers.
func (c *workload) leave() error { return c.close() }

// closedLoop keeps n sagas in flight for d and waits for the last one to end. It returns the number
// of ended sagas and the time until the last one ended.
func (c *workload) closedLoop(ctx context.Context, n int, d time.Duration) (ended int, took time.Duration, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var count atomic.Int64
	var callers sync.WaitGroup
	began := time.Now()
	for range n {
		callers.Go(func() {
			for time.Since(began) < d && ctx.Err() == nil {
				if err := c.one(ctx, c.started.Add(1), AllWell); err != nil {
					stop(err)
					return
				}
				count.Add(1)
			}
		})
	}
	callers.Wait()
	return int(count.Load()), time.Since(began), context.Cause(ctx)
}

// constantRate starts sagas at a constant rate for d, without waiting for them, and records their
// durations.
func (c *workload) constantRate(ctx context.Context, rate float64, d time.Duration) (*recorder, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	times := &recorder{}
	var calls sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; time.Since(began) < d && ctx.Err() == nil; <-tick.C {
		for due := int(time.Since(began).Seconds() * rate); n < due; n++ {
			calls.Go(func() {
				at := time.Now()
				if err := c.one(ctx, c.started.Add(1), AllWell); err != nil {
					stop(err)
					return
				}
				times.add(time.Since(at))
			})
		}
	}
	calls.Wait()
	return times, context.Cause(ctx)
}
