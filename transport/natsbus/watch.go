package natsbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
)

// mark is the state of a stream at the last check.
type mark struct {
	created time.Time
	first   uint64 // first sequence; 0 if the stream is empty
	last    uint64
}

// kept is what the bus remembers about a stream between checks.
type kept struct {
	repair  chan struct{} // capacity 1; allows one check at a time
	mark    mark          // guarded by repair
	known   bool          // whether the stream has been checked; guarded by repair
	highest atomic.Uint64 // highest sequence acknowledged by the server
}

// watch checks the streams after each reconnect, on demand, and every CheckInterval, until ctx
// ends.
func (b *Bus) watch(ctx context.Context) {
	ticker := time.NewTicker(b.config.CheckInterval)
	defer ticker.Stop()
	said := "" // the last logged error; a repeated error is not logged again
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
		if b.config.Provision != ProvisionAsk {
			err := b.check(ctx)
			reached = append(reached, err)
			err = errors.Join(err, checkPayload(b.nc.MaxPayload())) // the bus may be connected to another server now
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

// check runs look for at most apiTimeout, even if several streams are unreachable.
func (b *Bus) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return b.look(ctx)
}

// unreachableAfter is how long streams or consumers may be unreachable before the bus connects to
// another server. It is longer than an election (4 to 9 s), because another server would not help
// during one.
const unreachableAfter = 10 * time.Second

// judgeServer connects to another server of the cluster if this one could not reach streams or
// consumers for unreachableAfter. This server may be partitioned, which does not close the
// connection. err is the result of a check of all streams and consumers. judgeServer does nothing
// if the caller has opened the connection. Only watch calls it.
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
	b.config.Logger.Warn("the NATS server cannot reach streams or consumers; switching to another server of the cluster",
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

// look checks the given streams, or all if none are given, and creates missing ones. If a stream
// may have lost messages, look signals Resets and makes all sources recreate their consumers.
func (b *Bus) look(ctx context.Context, streams ...transport.Stream) error {
	if len(streams) == 0 {
		streams = transport.Streams[:]
	}
	waited := false
	awaitDeletion := func(ctx context.Context) error {
		if waited {
			return nil
		}
		waited = true // wait only once for all streams
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

// lookAt checks one stream and reports whether it has lost messages. Checks of other streams do not
// wait for this check.
func (b *Bus) lookAt(ctx context.Context, stream transport.Stream, awaitDeletion func(context.Context) error) (lost bool, err error) {
	kept := b.streams[stream]
	select { // not a mutex, because ctx may end while another check waits for the server
	case kept.repair <- struct{}{}:
		defer func() { <-kept.repair }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if !kept.known {
		awaitDeletion = func(context.Context) error { return nil } // there is no deletion to wait for
	}
	highest := kept.highest.Load() // read before the request, whose reply does not cover later acknowledgements
	info, created, err := b.ensure(ctx, stream, awaitDeletion)
	if err != nil && (info == nil || !kept.known) {
		return false, err // a drift of a known stream is returned below
	}
	was, now := kept.mark, mark{created: info.Created, last: info.State.LastSeq}
	if info.State.Msgs > 0 {
		now.first = info.State.FirstSeq
	}
	if now.first > 0 && now.first == was.first && now.created.Equal(was.created) {
		b.eachSource(func(s *source) { s.unmoved(stream, now.first) })
	}
	if stream == transport.StreamCommands {
		err = errors.Join(err, b.consumers.follow(ctx, created || !now.created.Equal(was.created)))
	}
	if !kept.known && created && stream.Repeatable() {
		b.beganEmpty.Store(true)
	}
	if kept.known && (created || !now.created.Equal(was.created) || now.last < max(was.last, highest)) {
		lost = true
		kept.highest.Store(now.last)
		b.config.Logger.Warn("a NATS stream has lost its messages; sending pending ones again", "stream", b.names[stream])
	}
	kept.mark, kept.known = now, true
	if stream == transport.StreamDeadLetters {
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

// learn asks the server for the bundle sizes of participants to which messages were sent since the
// last query. If the server does not reply, the known values stay.
func (b *Bus) learn(ctx context.Context) {
	r := b.readers
	r.mu.Lock()
	names := slices.Collect(maps.Keys(r.sent))
	clear(r.sent)
	r.mu.Unlock()
	if len(names) == 0 {
		return
	}
	ctx, cancel := b.question(ctx)
	defer cancel()
	for _, name := range names {
		consumer, err := b.js.Consumer(ctx, b.names[transport.StreamCommands], name)
		n := 0
		switch {
		case err == nil:
			n = bundleOf(consumer.CachedInfo().Config.Metadata)
		case errors.Is(err, jetstream.ErrConsumerNotFound):
		case ctx.Err() != nil:
			return
		default:
			continue
		}
		r.mu.Lock()
		r.commands[name] = n
		r.mu.Unlock()
	}
}

type counters struct {
	published, publishFailed, duplicates  atomic.Int64
	bundles                               atomic.Int64
	received, redelivered, stale          atomic.Int64
	deadLettered, deadFailed, repliesLost atomic.Int64
	deadOverRate, deadUnstored            atomic.Int64
	deadEvicted                           atomic.Int64
	resets, reconnects, forced, recreated atomic.Int64
	righted, repliesRefused               atomic.Int64
}

// Stats holds counts since the bus was created.
type Stats struct {
	Published          int64 // accepted by the server
	Bundles            int64 // messages that contain several commands or answers
	PublishFailed      int64 // refused by the server, or not acknowledged in time
	Duplicates         int64 // acknowledged as a duplicate
	Received           int64 // returned by Receive, including redeliveries
	Redelivered        int64 // the redeliveries among Received
	Stale              int64 // messages that were buffered for longer than AckWait, so that the server redelivers them
	DeadLettered       int64 // moved to the dead letters
	DeadLetterFailed   int64 // failed tries to move a message to the dead letters
	DeadOverRate       int64 // terminated without a dead letter because of LetterRate and LetterBurst
	DeadUnstored       int64 // terminated without a dead letter because the stream refused it or too many were waiting
	DeadEvicted        int64 // dead letters deleted by this bus because their ring was full
	RepliesLost        int64 // replies that could not be sent
	Resets             int64 // signals that a stream may have lost messages
	Reconnects         int64 // connections after the first
	ForcedReconnects   int64 // reconnects because the server did not answer; also counted in Reconnects
	ConsumersRecreated int64 // missing consumers that were recreated
	ConsumersRighted   int64 // consumers of commands deleted or recreated because of an unexpected configuration
	RepliesRefused     int64 // requests refused because the reply subject is not an inbox
}

// Stats returns the counts since the bus was created.
func (b *Bus) Stats() Stats {
	return Stats{
		Published:          b.stats.published.Load(),
		Bundles:            b.stats.bundles.Load(),
		PublishFailed:      b.stats.publishFailed.Load(),
		Duplicates:         b.stats.duplicates.Load(),
		Received:           b.stats.received.Load(),
		Redelivered:        b.stats.redelivered.Load(),
		Stale:              b.stats.stale.Load(),
		DeadLettered:       b.stats.deadLettered.Load(),
		DeadLetterFailed:   b.stats.deadFailed.Load(),
		DeadOverRate:       b.stats.deadOverRate.Load(),
		DeadUnstored:       b.stats.deadUnstored.Load(),
		DeadEvicted:        b.stats.deadEvicted.Load(),
		RepliesLost:        b.stats.repliesLost.Load(),
		Resets:             b.stats.resets.Load(),
		Reconnects:         b.stats.reconnects.Load(),
		ForcedReconnects:   b.stats.forced.Load(),
		ConsumersRecreated: b.stats.recreated.Load(),
		ConsumersRighted:   b.stats.righted.Load(),
		RepliesRefused:     b.stats.repliesRefused.Load(),
	}
}

// dropped returns the number of dead letters that were not kept.
func (s Stats) dropped() int64 { return s.DeadOverRate + s.DeadUnstored + s.DeadEvicted }

// Check returns what is currently wrong. It returns nil if the bus is connected, the server
// answers, and the streams exist with the expected configuration. An error of a single stream is a
// *transport.StreamError. Check changes nothing. With Ask, it checks only the connection.
func (b *Bus) Check(ctx context.Context) error {
	if err := b.connected(); err != nil {
		return err
	}
	if b.config.Provision == ProvisionAsk {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	// Check concurrently, so that a stream that does not answer does not delay the others.
	var errs [len(transport.Streams) + 1]error
	var asked sync.WaitGroup
	asked.Go(func() { errs[len(transport.Streams)] = claims{b}.check(ctx) })
	for i, stream := range transport.Streams {
		asked.Go(func() {
			if err := b.checkStream(ctx, stream); err != nil {
				errs[i] = &transport.StreamError{Stream: stream, Err: err}
			}
		})
	}
	asked.Wait()
	return errors.Join(errs[:]...)
}

// connected returns an error if the bus is not connected.
func (b *Bus) connected() error {
	if b.isClosed() {
		return transport.ErrClosed
	}
	if b.nc.IsConnected() {
		return nil
	}
	err := fmt.Errorf("NATS: not connected (%s)", b.nc.Status())
	if last := b.nc.LastError(); last != nil {
		err = fmt.Errorf("%w: %w", err, last)
	}
	return err
}

func (b *Bus) checkStream(ctx context.Context, stream transport.Stream) error {
	handle, err := b.js.Stream(ctx, b.names[stream])
	if err != nil {
		return fmt.Errorf("NATS stream %s: %w%s", b.names[stream], err, hint(err))
	}
	return b.drift(stream, handle.CachedInfo().Config)
}

// Aliases of the types that Load returns.
type (
	Load         = transport.Load
	StreamLoad   = transport.StreamLoad
	ConsumerLoad = transport.ConsumerLoad
)

// MaxConsumers bounds Load.Consumers for each stream.
const MaxConsumers = 1024

// Load implements transport.Scale. It sends up to three requests for each stream and one for every
// 256 subscriptions.
func (b *Bus) Load(ctx context.Context) (Load, error) {
	if err := b.connected(); err != nil {
		return Load{}, err
	}
	ctx, cancel := b.question(ctx)
	defer cancel()
	load := Load{Streams: map[transport.Stream]StreamLoad{}, Dropped: b.Stats().dropped()}
	for _, s := range transport.Streams {
		stream, err := b.js.Stream(ctx, b.names[s])
		if err != nil && !s.WorkQueue() {
			continue // report the other streams, which are more important
		}
		if err != nil {
			return Load{}, fmt.Errorf("get info of stream %s: %w%s", b.names[s], err, hint(err))
		}
		state := stream.CachedInfo().State
		total := StreamLoad{Messages: state.Msgs, Bytes: state.Bytes, Limit: uint64(max(stream.CachedInfo().Config.MaxBytes, 0))}
		if !s.WorkQueue() {
			load.Streams[s] = total
			continue
		}
		bundled, err := b.bundled(ctx, s, stream)
		if err != nil {
			return Load{}, fmt.Errorf("count the bundled messages of stream %s: %w", b.names[s], err)
		}
		total.Messages += bundled[""]
		if s == transport.StreamCommands {
			var fences uint64
			if load.Commands, fences, err = b.commands(ctx, stream); err != nil {
				return Load{}, fmt.Errorf("count the commands of stream %s: %w", b.names[s], err)
			}
			total.Messages -= min(total.Messages, fences)
		}
		consumers, err := consumersOf(ctx, s, stream)
		if err != nil {
			return Load{}, fmt.Errorf("list the consumers of stream %s: %w", b.names[s], err)
		}
		total.Cut = len(consumers) < stream.CachedInfo().State.Consumers
		load.Streams[s] = total
		for i := range consumers {
			further := bundled[consumers[i].Name]
			if s == transport.StreamEvents {
				further = bundled[""] // coordinators share the answers of all participants
			}
			spread(&consumers[i], further)
		}
		load.Consumers = append(load.Consumers, consumers...)
	}
	return load, nil
}

// bundled returns how many more commands or answers than messages a stream holds. The counts are by
// participant; the total has the key "".
func (b *Bus) bundled(ctx context.Context, s transport.Stream, stream jetstream.Stream) (map[string]uint64, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(b.subjects.Bundles(s)))
	if err != nil {
		return nil, err
	}
	further := map[string]uint64{}
	for subject, messages := range info.State.Subjects {
		if participant, n, ok := b.subjects.ParseBundle(subject); ok {
			more := messages * uint64(n-1)
			further[participant] += more
			further[""] += more
		}
	}
	return further, nil
}

// commands returns the number of commands on the bus by participant. It also returns the number of
// fences (claim.go).
func (b *Bus) commands(ctx context.Context, stream jetstream.Stream) (counts map[string]uint64, fences uint64, err error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(b.subjects.All(transport.StreamCommands)))
	if err != nil {
		return nil, 0, err
	}
	counts = map[string]uint64{}
	for subject, messages := range info.State.Subjects {
		if b.isFence(subject) {
			fences += messages
			continue
		}
		if participant, n, ok := b.subjects.ParseBundle(subject); ok {
			counts[participant] += messages * uint64(n)
		} else if participant := b.subjects.Participant(subject); participant != "" {
			counts[participant] += messages
		}
	}
	return counts, fences, nil
}

func consumersOf(ctx context.Context, s transport.Stream, stream jetstream.Stream) ([]ConsumerLoad, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the list early if there are too many
	var found []ConsumerLoad
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		one := ConsumerLoad{
			Stream: s, StreamName: info.Stream, Name: info.Name, Pending: info.NumPending, InFlight: info.NumAckPending,
			Redelivered: info.NumRedelivered, Asking: info.NumWaiting,
			MaxInFlight: info.Config.MaxAckPending, Paused: info.Paused,
			Last: info.Delivered.Stream, AckFloor: info.AckFloor.Stream, RawInFlight: info.NumAckPending,
		}
		if info.Delivered.Last != nil {
			one.Delivered = info.Delivered.Last.UTC()
		}
		if found = append(found, one); len(found) == MaxConsumers {
			return found, nil
		}
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, err
	}
	return found, nil
}

// spread distributes the additional commands or answers of bundles over the pending and the
// in-flight messages, in proportion to their numbers.
func spread(c *ConsumerLoad, further uint64) {
	all := c.Pending + uint64(c.InFlight)
	if all == 0 {
		return
	}
	waiting := further * c.Pending / all
	c.Pending += waiting
	c.InFlight += int(further - waiting)
}
