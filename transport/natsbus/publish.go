package natsbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
)

// forceAfter is after how many batches in a row without any answer the connection
// is given up and recreated.
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

// deliver sends messages and notes for each envelope what became of it.
func (b *Bus) deliver(ctx context.Context, list []outgoing, errs []error) {
	messages := make([]*nats.Msg, len(list))
	said := make([]error, len(list))
	for i := range list {
		messages[i] = list[i].message
	}
	b.hold(messages, said)
	b.send(ctx, messages, said)
	b.retryMissing(ctx, messages, said)
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
	began := time.Now()
	futures := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		if errs[i] != nil {
			continue
		}
		if errs[i] = ctx.Err(); errs[i] != nil {
			continue
		}
		crashpoint.Here(crashpoint.BetweenSends)
		// No retries inside: they would overtake each other. The stall wait is
		// as long as an acknowledgement may take, for a slow disk.
		futures[i], errs[i] = b.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0), jetstream.WithStallWait(b.config.PublishTimeout))
		errs[i] = b.translate(errs[i])
	}
	answered, silent := false, false
	for i, future := range futures {
		if future == nil {
			continue
		}
		said, late, err := b.await(ctx, messages[i], future, began)
		answered, silent, errs[i] = answered || said, silent || late, err
	}
	b.evaluateConnection(answered, silent)
}

// await waits for the server's word about one message. answered: there was one; silent:
// there was none in time.
func (b *Bus) await(ctx context.Context, m *nats.Msg, future jetstream.PubAckFuture, began time.Time) (answered, silent bool, err error) {
	refused := func(err error) (bool, bool, error) {
		b.refusedLife(err)
		var api *jetstream.APIError
		return errors.As(err, &api), errors.Is(err, jetstream.ErrAsyncPublishTimeout), b.translate(err)
	}
	for {
		violated := b.violations.changed() // before looking: one that comes later closes it
		select {                           // what is said of the message goes before what is said of its subject
		case ack := <-future.Ok():
			b.accepted(m.Subject, ack)
			return true, false, nil
		case err := <-future.Err():
			return refused(err)
		default:
		}
		if err := b.violations.of(m.Subject, began); err != nil {
			return true, false, err
		}
		select {
		case ack := <-future.Ok():
			b.accepted(m.Subject, ack)
			return true, false, nil
		case err := <-future.Err():
			return refused(err)
		case <-violated:
		case <-ctx.Done():
			return false, false, ctx.Err()
		}
	}
}

// accepted remembers how far the stream has come, so that a stream that goes
// backwards is noticed.
func (b *Bus) accepted(subject string, ack *jetstream.PubAck) {
	if ack.Duplicate {
		b.stats.duplicates.Add(1)
	}
	b.violations.forget(subject)
	if stream, err := b.subjects.StreamOf(subject); err == nil && ack.Stream == b.names[stream] {
		raise(&b.streams[stream].highest, ack.Sequence)
	}
}

// evaluateConnection gives up a connection on which the server does not answer any
// more although it stands. A connection of the caller's is left alone.
func (b *Bus) evaluateConnection(answered, silent bool) {
	if answered || !silent {
		b.failed.Store(0)
		return
	}
	if b.failed.Add(1) >= forceAfter && b.owned && b.nc.IsConnected() {
		b.failed.Store(0)
		b.stats.forced.Add(1)
		b.config.Logger.Warn("NATS does not answer; reconnecting", "batches", forceAfter)
		_ = b.nc.ForceReconnect()
	}
}

// missingStreams are the streams that some messages did not find, if they are ours to
// make.
func (b *Bus) missingStreams(messages []*nats.Msg, errs []error) (missing []transport.Stream) {
	if b.config.Provision == Ask {
		return nil
	}
	for i, err := range errs {
		if !errors.Is(err, errNoStream) {
			continue
		}
		if s, err := b.subjects.StreamOf(messages[i].Subject); err == nil && !slices.Contains(missing, s) {
			missing = append(missing, s)
		}
	}
	return missing
}

// retryMissing makes missing streams again and sends once more what found none.
func (b *Bus) retryMissing(ctx context.Context, messages []*nats.Msg, errs []error) {
	missing := b.missingStreams(messages, errs)
	if len(missing) == 0 || ctx.Err() != nil || b.look(ctx, missing...) != nil {
		return
	}
	crashpoint.Here(crashpoint.BeforeResend)
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
