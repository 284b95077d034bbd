package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
)

// forceAfter is after how many batches in a row without any answer the connection
// is given up and made anew.
const forceAfter = 3

// Publish implements transport.Bus: all envelopes are sent at once, then each
// acknowledgement is waited for. One call at a time keeps the order among calls.
// Commands to one participant, and answers of one, travel in bundles where their
// reader takes them.
func (b *Bus) Publish(ctx context.Context, batch []transport.Envelope) []error {
	errs := make([]error, len(batch))
	list := b.pack(batch, errs)
	b.deliver(ctx, list, errs)
	list = b.split(batch, list, errs)
	if len(list) > 0 {
		b.deliver(ctx, list, errs)
	}
	bad := false
	for i, err := range errs {
		if err != nil {
			bad = true
			errs[i] = fmt.Errorf("publish on %s: %w", batch[i].Subject, err)
			b.stats.publishFailed.Add(1)
		} else {
			b.stats.published.Add(1)
		}
	}
	if !bad {
		return nil
	}
	return errs
}

// deliver sends parcels and notes for each envelope what became of it.
func (b *Bus) deliver(ctx context.Context, list []parcel, errs []error) {
	messages := make([]*nats.Msg, len(list))
	said := make([]error, len(list))
	for i := range list {
		messages[i] = list[i].message()
	}
	b.send(ctx, messages, said)
	if b.missingStream(said) && ctx.Err() == nil {
		b.retryMissing(ctx, messages, said)
	}
	for i := range list {
		for _, at := range list[i].items {
			errs[at] = said[i]
		}
		if said[i] == nil {
			list[i].release() // acknowledged: the client has forgotten it
		}
	}
}

// send publishes the messages that have no error yet and waits for all of them.
func (b *Bus) send(ctx context.Context, messages []*nats.Msg, errs []error) {
	crashpoint.Here("natsbus: before sending")
	futures := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		if errs[i] != nil {
			continue
		}
		if errs[i] = ctx.Err(); errs[i] != nil {
			continue
		}
		crashpoint.Here("natsbus: between sends")
		// No retries inside: they would overtake each other. The stall wait is
		// as long as an acknowledgement may take, for a slow disk.
		futures[i], errs[i] = b.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0), jetstream.WithStallWait(b.config.PublishTimeout))
		errs[i] = translate(errs[i])
	}
	crashpoint.Here("natsbus: sent")
	answered, silent := false, false
	for i, future := range futures {
		if future == nil {
			continue
		}
		select {
		case ack := <-future.Ok():
			answered = true
			b.accepted(messages[i].Subject, ack)
			crashpoint.Here("natsbus: between acknowledgements")
		case err := <-future.Err():
			errs[i] = translate(err)
			b.refusedLife(err)
			silent = silent || errors.Is(err, jetstream.ErrAsyncPublishTimeout)
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	crashpoint.Here("natsbus: all acknowledged")
	b.judgeConnection(answered, silent)
}

// accepted remembers how far the stream has come, so that a stream that goes
// backwards is noticed.
func (b *Bus) accepted(subject string, ack *jetstream.PubAck) {
	if ack.Duplicate {
		b.stats.duplicates.Add(1)
	}
	if stream, err := b.subjects.StreamOf(subject); err == nil && ack.Stream == b.names[stream] {
		raise(b.highest[stream], ack.Sequence)
	}
}

// judgeConnection gives up a connection on which the server does not answer any
// more although it stands. A connection of the caller's is left alone.
func (b *Bus) judgeConnection(answered, silent bool) {
	if answered || !silent {
		b.failed.Store(0)
		return
	}
	if b.failed.Add(1) >= forceAfter && b.owned && b.nc.IsConnected() {
		b.failed.Store(0)
		b.stats.forced.Add(1)
		b.config.Logger.Warn("NATS does not answer; connecting anew", "batches", forceAfter)
		_ = b.nc.ForceReconnect()
	}
}

// errNoStream: nobody stores what is published.
var errNoStream = errors.New("no stream takes this subject; it is missing or its server is away: try again")

func translate(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", transport.ErrTooLarge, err)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return fmt.Errorf("%w: %w", transport.ErrClosed, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return errNoStream
	case !errors.As(err, &api):
		return err
	case api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("%w: %w", transport.ErrTooLarge, err)
	case api.ErrorCode == 10077: // store failed: maximum bytes or messages reached
		return fmt.Errorf("%w: %w", transport.ErrFull, err)
	}
	return err
}

func (b *Bus) missingStream(errs []error) bool {
	if b.config.Provision == Trust {
		return false
	}
	for _, err := range errs {
		if errors.Is(err, errNoStream) {
			return true
		}
	}
	return false
}

// retryMissing makes missing streams anew and sends once more what found none.
func (b *Bus) retryMissing(ctx context.Context, messages []*nats.Msg, errs []error) {
	if err := b.look(ctx); err != nil {
		return
	}
	crashpoint.Here("natsbus: before sending once more")
	again := make([]error, len(errs))
	for i, err := range errs {
		if again[i] = err; errors.Is(err, errNoStream) {
			again[i] = nil
		} else if err == nil {
			again[i] = errSent
		}
	}
	b.send(ctx, messages, again)
	for i, err := range again {
		if !errors.Is(err, errSent) {
			errs[i] = err
		}
	}
}

var errSent = errors.New("sent before")
