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

// Stats holds counts since the bus was created.
type Stats struct {
	Published          int64 // accepted by the server
	Bundles            int64 // messages with several commands or answers
	PublishFailed      int64 // refused, or without a reply
	Duplicates         int64 // accepted as a duplicate
	Received           int64 // returned by Receive, including redeliveries
	Redelivered        int64 // of those, redeliveries
	Stale              int64 // buffered for longer than AckWait, and therefore redelivered instead
	DeadLettered       int64 // moved to the dead letters
	DeadLetterFailed   int64 // failed tries to move one
	DeadOverRate       int64 // terminated without a dead letter, because of LetterRate and LetterBurst
	DeadUnstored       int64 // terminated without a dead letter, because the stream refused it or too many were waiting
	DeadEvicted        int64 // dead letters deleted by this bus because their ring was full
	RepliesLost        int64 // replies that could not be sent
	Resets             int64 // a stream may have lost messages
	Reconnects         int64 // connections after the first
	ForcedReconnects   int64 // of those, because the server did not answer
	ConsumersRecreated int64 // recreated because they were missing
	ConsumersRighted   int64 // consumers of commands deleted or recreated because of an unexpected configuration
	RepliesRefused     int64 // requests whose reply subject is not an inbox
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

// Check returns what is wrong now, or nil: the bus is connected, the server answers, and the
// streams exist with the expected configuration. An error about one stream is a
// *transport.StreamError. It changes nothing. With Ask, only the connection is checked.
func (b *Bus) Check(ctx context.Context) error {
	if err := b.connected(); err != nil {
		return err
	}
	if b.config.Provision == Ask {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	// Concurrently, so that a stream that does not answer does not delay the others.
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
	return drift(b.wanted(stream), handle.CachedInfo().Config)
}
