package participant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/amends-dev/amends/transport"
)

// Run receives the participant's commands from the bus and answers them until ctx ends. Then it
// finishes the commands that it has begun, within GracePeriod, and returns nil. It returns an error
// if the participant is invalid, if the subscription is refused, or if the bus is closed.
//
//	receive ──▶ serve (up to Concurrency goroutines, started on demand)
//	                └──▶ publish (one goroutine: batch, then Ack each)
//	heartbeat (one goroutine: InProgress for every command held)
//	prune     (one goroutine, with Retention)
//
// When Run returns, all its goroutines have ended. A handler that ignores its cancelled context
// delays the return of Run. In that case it is safe to kill the process.
func (p *Participant[Tx]) Run(ctx context.Context, bus transport.Bus) error {
	if err := p.Check(); err != nil {
		return err
	}
	o := p.options
	at := p.at(o.subjects.On(bus))
	if err := transport.CheckPrefix(at.subjects.Prefix); err != nil {
		return fmt.Errorf("participant %s: prefix of the bus: %w", p.name, err)
	}
	source, err := bus.Subscribe(ctx, transport.Subscription{
		Stream:      transport.StreamCommands,
		Name:        p.name,
		Subjects:    []string{at.subjects.Commands(p.name)},
		AckWait:     o.ackWait,
		MaxInFlight: o.maxInFlight,
		Prefetch:    o.concurrency,
		Bundle:      o.bundle(),
	})
	if err != nil && ctx.Err() != nil {
		return nil // stopped during the start
	}
	if err != nil {
		return fmt.Errorf("participant %s: subscribe to its commands: %w", p.name, err)
	}
	r := newRunner(p, at, bus, source)
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("participant %s: receive commands: %w", p.name, err)
	}
	return nil
}

// runner is the state of one Run.
type runner[Tx any] struct {
	p       *Participant[Tx]
	at      place
	bus     transport.Bus
	source  transport.Source
	held    *inFlight
	back    returns
	begun   chan *flight // received commands that are not served yet; never full
	answers chan *flight // answers that are not published yet; never full
}

func newRunner[Tx any](p *Participant[Tx], at place, bus transport.Bus, source transport.Source) *runner[Tx] {
	bound := 2 * p.options.concurrency
	return &runner[Tx]{
		p: p, at: at, bus: bus, source: source,
		held:    newInFlight(bound),
		back:    returns{bound: p.options.returns()},
		begun:   make(chan *flight, bound),
		answers: make(chan *flight, bound),
	}
}

func (r *runner[Tx]) run(ctx context.Context) error {
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var serving, publishing, ticking sync.WaitGroup
	ticks, stop := context.WithCancel(work)
	publishing.Go(func() { r.publish(work) })
	ticking.Go(func() { r.heartbeat(ticks) })
	ticking.Go(func() { r.prune(ticks) })

	var servers atomic.Int32 // serve goroutines; runtime.Goexit in a handler, as in t.Fatal, ends one
	err := r.receive(ctx, func(h *flight) {
		r.begun <- h
		if int(servers.Load()) < r.p.options.concurrency {
			servers.Add(1)
			serving.Go(func() {
				defer servers.Add(-1)
				r.serve(ctx, work)
			})
		}
	})

	grace := time.AfterFunc(r.p.options.gracePeriod, cut)
	defer grace.Stop()
	close(r.begun)
	if ctx.Err() != nil {
		r.serve(ctx, work) // hands back the commands that no handler has begun
	}
	serving.Wait()
	close(r.answers)
	publishing.Wait()
	stop()
	ticking.Wait()
	return errors.Join(err, r.source.Close())
}

// receive passes deliveries to begin. It returns nil when ctx ends, and an error if the bus is
// closed.
func (r *runner[Tx]) receive(ctx context.Context, begin func(*flight)) error {
	pause := newBackoff()
	for {
		room, err := r.held.reserve(ctx)
		if err != nil {
			return nil
		}
		batch, err := r.source.Receive(ctx, room)
		r.held.giveBack(room - len(batch))
		for _, d := range batch {
			begin(r.held.add(d))
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, transport.ErrClosed):
			return err
		case err != nil:
			r.p.options.logger.Warn("cannot receive commands; retrying", LogParticipant, r.p.name, LogError, err)
			if !wait(ctx, pause.NextBackOff()) {
				return nil
			}
		default:
			pause.Reset()
		}
	}
}

// serve answers deliveries until begun is closed. It is a loop because a goroutine per delivery
// would have to grow its stack each time. When ctx ends, serve begins no further delivery. When
// work ends, the running handlers are cancelled.
func (r *runner[Tx]) serve(ctx, work context.Context) {
	for h := range r.begun {
		if ctx.Err() != nil {
			h.delivery.Nak(0) // another process can serve it at once
			r.held.remove(h)
			continue
		}
		r.answer(work, h)
	}
}

// answer serves one delivery.
func (r *runner[Tx]) answer(work context.Context, h *flight) {
	answered := false
	defer func() {
		if !answered {
			r.held.remove(h)
		}
	}()
	answer, err := r.p.answer(work, r.at, h.delivery.Envelope(), func(c *transport.Envelope, why error) fate { return r.fate(c, why, h.delivery) })
	var wrong *CommandError
	var back *handedBack
	switch {
	case errors.As(err, &back):
		h.delivery.Nak(back.delay)
	case errors.As(err, &wrong):
		r.deadLetter(work, h, wrong.Reason)
	case err != nil:
		h.delivery.Nak(0)
	default:
		h.answer, answered = answer, true
		r.answers <- h
	}
}

// fate returns what happens to a command that is not served here.
func (r *runner[Tx]) fate(c *transport.Envelope, why error, d transport.Delivery) fate {
	now := time.Now()
	f := fateOf(c, d.Redeliveries(), now)
	if _, stale := errors.AsType[*replaced](why); stale {
		f = staleFate(d.Redeliveries())
	}
	if f.delay > 0 && !r.back.take(now, f.delay) {
		return fate{note: "; too many commands are handed back already"}
	}
	return f
}

// deadLetter dead-letters a message that cannot be answered.
func (r *runner[Tx]) deadLetter(ctx context.Context, h *flight, reason string) {
	if err := h.delivery.DeadLetter(ctx, reason); err != nil {
		r.p.log(h.delivery.Envelope()).Warn("cannot write the dead letter; the message will be redelivered", LogReason, reason, LogError, err)
		h.delivery.Nak(time.Second)
	}
}

// heartbeat reports to the bus that the commands in flight are in progress.
func (r *runner[Tx]) heartbeat(ctx context.Context) {
	every(ctx, max(r.p.options.ackWait/3, time.Millisecond), func() {
		for _, h := range r.held.all() {
			h.delivery.InProgress()
		}
	})
}

// pruneSlice limits the entries that one transaction removes.
const pruneSlice = 1000

// prune removes entries older than Retention, immediately and then every hour.
func (r *runner[Tx]) prune(ctx context.Context) {
	keep := r.p.options.retention
	if keep <= 0 {
		return
	}
	slice := func() {
		for ctx.Err() == nil {
			n, err := r.p.inbox.Prune(ctx, r.p.name, time.Now().Add(-keep), pruneSlice)
			if err != nil && ctx.Err() == nil {
				r.p.options.logger.Warn("cannot prune the inbox; retrying in an hour", LogParticipant, r.p.name, LogError, err)
			}
			if err != nil || n < pruneSlice {
				return
			}
		}
	}
	slice()
	every(ctx, time.Hour, slice)
}

// newBackoff returns the backoff for retries on the bus, from 50 ms to 5 s.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, 5*time.Second
	b.Reset()
	return b
}

// wait sleeps for d and returns true. It returns false if ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// every calls f at intervals until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}
