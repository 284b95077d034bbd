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

// forceAfter is the number of consecutive batches without a reply after which the bus reconnects.
const forceAfter = 3

// Publish implements transport.Bus. It sends all envelopes at once, then waits for their
// acknowledgements. To keep messages in order, call it from one goroutine at a time. Commands to a
// participant, and answers from one, are bundled if their reader supports that.
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

// deliver sends messages and stores the result of each for its envelopes.
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
			list[i].release() // acknowledged, so the client no longer uses it
		}
	}
}

// send publishes the messages that have no error yet and waits for all acknowledgements.
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
		// No retries by the client: they would reorder messages. The stall wait is as long as an
		// acknowledgement may take on a slow disk.
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

// await waits for one message's acknowledgement. answered: the server replied; silent: it did not
// reply in time.
func (b *Bus) await(ctx context.Context, m *nats.Msg, future jetstream.PubAckFuture, began time.Time) (answered, silent bool, err error) {
	refused := func(err error) (bool, bool, error) {
		b.refusedLife(err)
		var api *jetstream.APIError
		return errors.As(err, &api), errors.Is(err, jetstream.ErrAsyncPublishTimeout), b.translate(err)
	}
	for {
		violated := b.violations.changed() // get the channel before checking, so that no later violation is missed
		select {                           // an error of the message takes precedence over one of its subject
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

// accepted records a stream's last sequence, so that a stream that goes backwards is noticed.
func (b *Bus) accepted(subject string, ack *jetstream.PubAck) {
	if ack.Duplicate {
		b.stats.duplicates.Add(1)
	}
	b.violations.forget(subject)
	if stream, err := b.subjects.StreamOf(subject); err == nil && ack.Stream == b.names[stream] {
		raise(&b.streams[stream].highest, ack.Sequence)
	}
}

// evaluateConnection reconnects if the server no longer answers on an open connection. A caller's
// connection is left alone.
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

// missingStreams returns the streams that some messages did not reach, if the bus may create them.
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

// retryMissing recreates missing streams and sends the messages for them again.
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
