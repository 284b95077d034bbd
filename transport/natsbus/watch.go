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

// mark is how far a stream had come when it was last looked at.
type mark struct {
	created time.Time
	first   uint64 // 0: it is empty
	last    uint64
}

// kept is what is known of a stream from one look to the next.
type kept struct {
	repair  chan struct{} // capacity 1: one look at a time
	mark    mark          // guarded by repair
	known   bool          // it was looked at; guarded by repair
	highest atomic.Uint64 // sequence that the server has acknowledged
}

// watch looks at the streams after each reconnect, when something seems wrong, and
// every few seconds. It ends with ctx.
func (b *Bus) watch(ctx context.Context) {
	ticker := time.NewTicker(b.config.CheckInterval)
	defer ticker.Stop()
	said := "" // the last complaint: each is made once
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
			err = errors.Join(err, checkPayload(b.nc.MaxPayload())) // it may be another server
			if err != nil && ctx.Err() == nil && err.Error() != said {
				b.config.Logger.Warn("looking after the NATS streams failed; it is tried again", "error", err)
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

// check is a look that takes apiTimeout at most, however many streams are out of
// reach.
func (b *Bus) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return b.look(ctx)
}

// unreachableAfter is how long streams or consumers may be out of reach before another
// server is tried. It is longer than an election takes (4 to 9 s): where one is under
// way, another server is no better.
const unreachableAfter = 10 * time.Second

// judgeServer goes to another server of a cluster when this one has been unable to
// reach streams or consumers for too long: it may be cut off from the others, and
// would keep the connection for as long as that lasts. err is what a look at all of
// them said. A connection of the caller's is left alone. Called by watch only.
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

// lookSoon asks watch to look now.
func (b *Bus) lookSoon() {
	select {
	case b.poke <- struct{}{}:
	default:
	}
}

// look creates missing streams, of those given; none: of all. If one may have forgotten
// messages, Resets has been signalled and all sources renew their consumers.
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

// lookAt looks at one stream, and reports whether it has lost what it held. Whoever looks
// at another one does not wait for this.
func (b *Bus) lookAt(ctx context.Context, stream transport.Stream, awaitDeletion func(context.Context) error) (lost bool, err error) {
	kept := b.streams[stream]
	select { // not a mutex: whoever looks may wait for the server, and ctx may end
	case kept.repair <- struct{}{}:
		defer func() { <-kept.repair }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if !kept.known {
		awaitDeletion = func(context.Context) error { return nil } // nothing was there before
	}
	highest := kept.highest.Load() // before asking: what is acknowledged later is not in the answer
	info, created, err := b.ensure(ctx, stream, awaitDeletion)
	if err != nil && (info == nil || !kept.known) {
		return false, err // a drift that comes up later is reported and does not stop the work
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
		b.config.Logger.Warn("a NATS stream has lost what it held; what is pending is sent again", "stream", b.names[stream])
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
