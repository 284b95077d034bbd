package natsbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/amends-dev/amends/transport"
)

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

// Stats are counts since the bus was made.
type Stats struct {
	Published          int64 // accepted by the server
	Bundles            int64 // messages made that carry several commands or answers
	PublishFailed      int64 // not accepted, or nobody knows
	Duplicates         int64 // accepted, but known already
	Received           int64 // handed out, redeliveries included
	Redelivered        int64 // of those, not for the first time
	Stale              int64 // held ready for so long that they come again, and not handed out
	DeadLettered       int64 // moved to the dead letters
	DeadLetterFailed   int64 // tries to move one that failed
	DeadOverRate       int64 // terminated and not kept: their participant had as many dead letters as it may, LetterRate and LetterBurst
	DeadUnstored       int64 // terminated and not kept: the stream did not take them, or too many waited for it
	DeadEvicted        int64 // dead letters deleted by this bus because there were newer ones: the oldest of a ring that was full
	RepliesLost        int64 // replies that could not be sent
	Resets             int64 // a stream may have forgotten messages
	Reconnects         int64 // connections after the first
	ForcedReconnects   int64 // of those, because the server did not answer
	ConsumersRecreated int64 // consumers recreated because they were gone
	ConsumersRighted   int64 // consumers of commands deleted, and those of participants recreated, because they were not as they should be
	RepliesRefused     int64 // requests that named a subject for the reply that is no inbox
}

// Stats are counts since the bus was made.
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

// dropped counts the dead letters that were not kept.
func (s Stats) dropped() int64 { return s.DeadOverRate + s.DeadUnstored + s.DeadEvicted }

// Check says what is wrong now, or nil: the connection stands, the server answers,
// the streams are there and as they should be; what is wrong with one of them is a
// *transport.StreamError. It changes nothing. With Ask only the connection is checked.
func (b *Bus) Check(ctx context.Context) error {
	if err := b.connected(); err != nil {
		return err
	}
	if b.config.Provision == Ask {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	// All at once: one that does not answer takes no time from the others.
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

// connected says at once that there is nobody to ask.
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
	return drift(b.wanted(stream), handle.CachedInfo().Config)
}
