package natsbus

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
)

// mark is the state of a stream at the last check.
type mark struct {
	created time.Time
	first   uint64 // 0: it is empty
	last    uint64
}

// kept is what the bus knows of a stream between checks.
type kept struct {
	repair  chan struct{} // capacity 1: one check at a time
	mark    mark          // guarded by repair
	known   bool          // it has been checked; guarded by repair
	highest atomic.Uint64 // highest sequence acknowledged by the server
}

// watch checks the streams after each reconnect, on demand, and every CheckInterval, until ctx
// ends.
func (b *Bus) watch(ctx context.Context) {
	ticker := time.NewTicker(b.config.CheckInterval)
	defer ticker.Stop()
	said := "" // the last error logged, so that each is logged once
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-b.poke:
		case status, ok := <-b.status:
			if !ok {
				return
			}
			if status == nats.CONNECTED {
				b.stats.reconnects.Add(1)
				b.eachSource(func(s *source) { s.puller.Reset() })
			}
		}
		if !b.nc.IsConnected() {
			continue
		}
		b.terminateBroken()
		var reached []error
		if b.config.Provision != Ask {
			err := b.check(ctx)
			reached = append(reached, err)
			err = errors.Join(err, checkPayload(b.nc.MaxPayload())) // the server may be another one
			if err != nil && ctx.Err() == nil && err.Error() != said {
				b.config.Logger.Warn("the check of the NATS streams failed; retrying", "error", err)
				said = err.Error()
			} else if err == nil {
				said = ""
			}
		}
		reached = append(reached, b.keepConsumers(ctx))
		b.eachSource(func(s *source) { reached = append(reached, s.fix(ctx), s.sweep(ctx)) })
		b.judgeServer(errors.Join(reached...))
		b.learn(ctx)
		b.rings.look(ctx)
	}
}

// check runs look for apiTimeout at most, however many streams are unreachable.
func (b *Bus) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return b.look(ctx)
}

// unreachableAfter is how long streams or consumers may be unreachable before the bus tries another
// server. It exceeds the time of an election (4 to 9 s), during which another server is no better.
const unreachableAfter = 10 * time.Second

// judgeServer moves to another server of the cluster if this one could not reach streams or
// consumers for unreachableAfter: it may be partitioned, and would keep the connection all the
// while. err is the result of a check of all of them. A caller's connection is left alone. Called
// by watch only.
func (b *Bus) judgeServer(err error) {
	now := time.Now()
	if err == nil || !notReady(err) || b.unreachable.IsZero() {
		b.unreachable = now
		return
	}
	if now.Sub(b.unreachable) < unreachableAfter || !b.owned || len(b.nc.Servers()) < 2 {
		return
	}
	b.unreachable = now
	b.stats.forced.Add(1)
	b.config.Logger.Warn("the NATS server cannot reach streams or consumers; going to another server of the cluster",
		"server", b.nc.ConnectedServerName(), "for", unreachableAfter, "error", err)
	_ = b.nc.ForceReconnect()
}

// lookSoon wakes watch for a check.
func (b *Bus) lookSoon() {
	select {
	case b.poke <- struct{}{}:
	default:
	}
}

// look checks the given streams (none: all) and creates missing ones. If one may have lost
// messages, it signals Resets and has all sources recreate their consumers.
func (b *Bus) look(ctx context.Context, streams ...transport.Stream) error {
	if len(streams) == 0 {
		streams = transport.Streams[:]
	}
	waited := false
	awaitDeletion := func(ctx context.Context) error {
		if waited {
			return nil
		}
		waited = true // one wait for all streams
		return pause(ctx, afterDeletion)
	}
	var errs []error
	lost := false
	for _, stream := range streams {
		gone, err := b.lookAt(ctx, stream, awaitDeletion)
		errs, lost = append(errs, err), lost || gone
	}
	if lost {
		crashpoint.Here(crashpoint.LossNoticed)
		b.stats.resets.Add(1)
		select {
		case b.resets <- struct{}{}:
		default:
		}
		b.confirmSoon()
		b.eachSource(func(s *source) { s.suspect.Store(true) })
		b.lookSoon()
	}
	return errors.Join(errs...)
}

// lookAt checks one stream, and reports whether it has lost messages. Checks of other streams do
// not wait for this one.
func (b *Bus) lookAt(ctx context.Context, stream transport.Stream, awaitDeletion func(context.Context) error) (lost bool, err error) {
	kept := b.streams[stream]
	select { // not a mutex, because the check may wait for the server and ctx may end
	case kept.repair <- struct{}{}:
		defer func() { <-kept.repair }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if !kept.known {
		awaitDeletion = func(context.Context) error { return nil } // it did not exist before
	}
	highest := kept.highest.Load() // read before the request: later acknowledgements are not in its reply
	info, created, err := b.ensure(ctx, stream, awaitDeletion)
	if err != nil && (info == nil || !kept.known) {
		return false, err // later drift is reported but does not stop the bus
	}
	was, now := kept.mark, mark{created: info.Created, last: info.State.LastSeq}
	if info.State.Msgs > 0 {
		now.first = info.State.FirstSeq
	}
	if now.first > 0 && now.first == was.first && now.created.Equal(was.created) {
		b.eachSource(func(s *source) { s.unmoved(stream, now.first) })
	}
	if kept.known && (created || !now.created.Equal(was.created) || now.last < max(was.last, highest)) {
		lost = true
		kept.highest.Store(now.last)
		b.config.Logger.Warn("a NATS stream has lost its messages; sending pending ones again", "stream", b.names[stream])
	}
	kept.mark, kept.known = now, true
	if stream == transport.DeadLetters {
		b.rings.last.Store(now.last)
	}
	return lost, err
}

func (b *Bus) eachSource(f func(*source)) {
	b.mu.Lock()
	list := make([]*source, 0, len(b.sources))
	for s := range b.sources {
		list = append(list, s)
	}
	b.mu.Unlock()
	for _, s := range list {
		f(s)
	}
}

func raise(a *atomic.Uint64, to uint64) {
	for {
		is := a.Load()
		if to <= is || a.CompareAndSwap(is, to) {
			return
		}
	}
}
