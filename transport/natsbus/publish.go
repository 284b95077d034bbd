package natsbus

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// forceAfter is the number of consecutive batches without any reply after which the bus reconnects.
const forceAfter = 3

// Publish implements transport.Bus. It sends all envelopes at once, and then waits for their
// acknowledgements. To keep messages in order, call it from one goroutine at a time. It bundles the
// commands to a participant, and the answers from a participant, if their reader supports bundles.
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

// deliver sends messages and stores the result of each message for its envelopes.
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
			list[i].release() // after the acknowledgement, the client no longer uses the buffers
		}
	}
}

// send publishes the messages that have no error in errs, and waits for all acknowledgements.
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
		// The client must not retry, because that would reorder messages. The stall wait is as long
		// as an acknowledgement may take on a slow disk.
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

// await waits for one message's acknowledgement. answered reports whether the server replied, and
// silent whether the reply is overdue.
func (b *Bus) await(ctx context.Context, m *nats.Msg, future jetstream.PubAckFuture, began time.Time) (answered, silent bool, err error) {
	refused := func(err error) (bool, bool, error) {
		b.refusedLife(err)
		var api *jetstream.APIError
		return errors.As(err, &api), errors.Is(err, jetstream.ErrAsyncPublishTimeout), b.translate(err)
	}
	for {
		violated := b.violations.changed() // get the channel before the check, so that no later violation is missed
		select {                           // the message's own error takes precedence over an error of its subject
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

// accepted records a stream's last sequence. The bus later notices if the stream's last sequence
// decreases.
func (b *Bus) accepted(subject string, ack *jetstream.PubAck) {
	if ack.Duplicate {
		b.stats.duplicates.Add(1)
	}
	b.violations.forget(subject)
	if stream, err := b.subjects.StreamOf(subject); err == nil && ack.Stream == b.names[stream] {
		raise(&b.streams[stream].highest, ack.Sequence)
	}
}

// evaluateConnection reconnects if the server no longer answers on an open connection. It does
// nothing if the caller has opened the connection.
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

// missingStreams returns the streams that some messages did not reach, if the bus may create
// streams.
func (b *Bus) missingStreams(messages []*nats.Msg, errs []error) (missing []transport.Stream) {
	if b.config.Provision == ProvisionAsk {
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

// retryMissing recreates missing streams and sends their messages again.
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

// errNoStream is returned if no stream stores the message's subject.
var errNoStream = fmt.Errorf("no stream stores this subject: its stream is missing or the stream's server is unreachable; try again (%w)", transport.ErrRefused)

// refusals maps JetStream's error codes for publishes to kinds of refusal. Unknown codes count as
// temporary. Some codes are caused only by headers that a bus never sends (expectations, batches,
// counters, schedules). These codes count as permanent, because sending the same message again
// changes nothing. TestRefusals provokes the codes on a real server.
var refusals = map[jetstream.ErrorCode]error{
	10054: transport.ErrTooLarge,       // message size exceeds maximum allowed
	10097: transport.ErrTooLarge,       // header size exceeds maximum allowed of 64k
	10165: transport.ErrRefusedForGood, // invalid per-message TTL
	10060: transport.ErrRefusedForGood, // expected stream does not match
	10070: transport.ErrRefusedForGood, // wrong last message id
	10193: transport.ErrRefusedForGood, // missing sequence for expected last sequence per subject
	10111: transport.ErrRefusedForGood, // rollup failed
	10168: transport.ErrRefusedForGood, // message counters is disabled
	10174: transport.ErrRefusedForGood, // atomic publish is disabled
	10188: transport.ErrRefusedForGood, // message schedules is disabled
	10189: transport.ErrRefusedForGood, // message schedules pattern is invalid
	10190: transport.ErrRefusedForGood, // message schedules target is invalid
	10191: transport.ErrRefusedForGood, // message schedules invalid per-message TTL
	10192: transport.ErrRefusedForGood, // message schedules invalid rollup
	10203: transport.ErrRefusedForGood, // message schedules source is invalid
	10212: transport.ErrRefusedForGood, // message schedules invalid scheduler

	10002: transport.ErrFull,    // resource limits exceeded for account
	10023: transport.ErrFull,    // insufficient resources
	10047: transport.ErrFull,    // insufficient storage resources available
	10077: transport.ErrFull,    // maximum messages, messages per subject or bytes exceeded; see storeFailed
	10071: transport.ErrFenced,  // wrong last sequence, of the claim; see claim.go
	10164: transport.ErrFenced,  // as 10071, while another publish is in progress
	10008: transport.ErrRefused, // JetStream system temporarily unavailable
	10009: transport.ErrRefused, // not leader
	10109: transport.ErrRefused, // sealed stream
	10166: transport.ErrRefused, // per-message TTL is disabled; sent again without one
	10167: transport.ErrRefused, // too many requests
	10194: transport.ErrRefused, // stream is offline
}

// translate converts a publish error into an error of package transport. From this error, callers
// know whether the server has the message and whether a retry makes sense.
func (b *Bus) translate(err error) error {
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
	}
	kind, known := refusals[api.ErrorCode]
	switch {
	case !known:
		if _, told := b.odd.LoadOrStore(api.ErrorCode, true); !told {
			b.config.Logger.Warn("the NATS server refuses a message with an unknown error code; retrying until it is accepted",
				"code", int(api.ErrorCode), "error", api.Description)
		}
		return err
	case api.ErrorCode == storeFailed && !strings.HasPrefix(api.Description, "maximum "):
		return err // on a disk error, the message may have been written
	}
	if errors.Is(kind, transport.ErrFenced) {
		b.refusedByFence()
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// storeFailed is the error code both for a stream's limit and for a disk error.
const storeFailed jetstream.ErrorCode = 10077

// outgoing is a message to publish. It contains one envelope, or a bundle of envelopes.
type outgoing struct {
	items   []int // indexes in the batch
	message *nats.Msg
	bundle  bool
	release func() // returns its buffers to the pool
}

// open is a bundle under construction. Its envelopes have the same participant, and either all or
// none of them expire.
type open struct {
	stream      transport.Stream
	participant string
	items       []int
	bytes       int
	life        time.Duration // the longest life of its envelopes; 0 if they do not expire
}

// pack builds the messages of a batch, and stores an error for each envelope that cannot be sent.
func (b *Bus) pack(batch []transport.Envelope, errs []error) []outgoing {
	list := make([]outgoing, 0, len(batch))
	bundles := make(map[string]*open, 8)
	add := func(items []int, as *open) {
		if len(items) == 0 {
			return
		}
		p, err := b.wrap(batch, items, as)
		if err != nil {
			for _, i := range items {
				errs[i] = err
			}
			return
		}
		list = append(list, p)
	}
	order := make([]*open, 0, 8)
	for i := range batch {
		e := &batch[i]
		stream, err := b.admit(e)
		if err != nil {
			errs[i] = err
			continue
		}
		participant := b.subjects.Participant(e.Subject)
		most := b.most(stream, participant)
		if most < 2 {
			add([]int{i}, nil)
			continue
		}
		life := b.life(e)
		key := string(stream) + participant
		if life > 0 {
			key += " expiring"
		}
		to := bundles[key]
		if to == nil {
			to = &open{stream: stream, participant: participant}
			bundles[key] = to
			order = append(order, to)
		}
		size := len(e.Data) + len(e.Subject)
		if len(to.items) >= most || to.bytes+size > b.bundleBytes() {
			add(to.items, to)
			to.items, to.bytes, to.life = nil, 0, 0
		}
		to.items = append(to.items, i)
		to.bytes += size
		to.life = max(to.life, life)
	}
	for _, rest := range order {
		add(rest.items, rest)
	}
	return list
}

// bundleBytes returns the maximum number of data bytes in a bundle.
func (b *Bus) bundleBytes() int {
	bytes := bundle.MaxBytes
	if most := b.config.MaxMessageBytes; most > 0 {
		bytes = min(bytes, most/4) // headers may take three times as much as data
	}
	return bytes
}

// admit returns an error if an envelope must not be published.
func (b *Bus) admit(e *transport.Envelope) (transport.Stream, error) {
	if b.isClosed() {
		return "", transport.ErrClosed
	}
	return b.subjects.StreamOf(e.Subject)
}

// wrap encodes some envelopes as one message, which is a bundle if there are several.
func (b *Bus) wrap(batch []transport.Envelope, items []int, as *open) (outgoing, error) {
	limit := int(b.nc.MaxPayload())
	if len(items) == 1 {
		m := wire.Borrow(&batch[items[0]])
		if life := b.life(&batch[items[0]]); life > 0 {
			m.Set(jetstream.MsgTTLHeader, ttl(life))
		}
		if size := m.Size(); limit > 0 && size > limit {
			return outgoing{}, fmt.Errorf("%w: %d bytes with headers; at most %d are allowed", transport.ErrTooLarge, size, limit)
		}
		return outgoing{items: items, message: &m.Msg, release: m.Release}, nil
	}
	w := bundle.NewWriter()
	for _, i := range items {
		w.Add(&batch[i])
	}
	first := &batch[items[0]]
	envelope := transport.Envelope{
		Subject:     b.subjects.Bundle(as.stream, as.participant, len(items)),
		DedupID:     bundleID(batch, items),
		ID:          first.ID + "+" + strconv.Itoa(len(items)-1),
		Source:      first.Source,
		Type:        transport.TypeBundle,
		ContentType: bundle.ContentType,
		Data:        w.Bytes(),
	}
	b.stats.bundles.Add(1)
	m := wire.Encode(&envelope)
	if as.life > 0 {
		m.Header.Set(jetstream.MsgTTLHeader, ttl(as.life))
	}
	return outgoing{items: items, message: m, bundle: true, release: w.Release}, nil
}

// bundleID returns an id derived from the ids of the messages. It is the same for the same messages
// and as hard to guess as their ids. It returns "" if a message has no id.
func bundleID(batch []transport.Envelope, items []int) string {
	text := make([]byte, 0, len(items)*40)
	for _, i := range items {
		if batch[i].DedupID == "" {
			return ""
		}
		text = binary.AppendUvarint(text, uint64(len(batch[i].DedupID)))
		text = append(text, batch[i].DedupID...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// split returns the envelopes of permanently refused bundles as single messages to send, because
// the server may accept single messages.
func (b *Bus) split(batch []transport.Envelope, list []outgoing, errs []error) []outgoing {
	var singles []outgoing
	for _, p := range list {
		if !p.bundle || !errors.Is(errs[p.items[0]], transport.ErrRefusedForGood) {
			continue
		}
		for _, i := range p.items {
			if one, err := b.wrap(batch, []int{i}, nil); err == nil {
				singles, errs[i] = append(singles, one), nil
			} else {
				errs[i] = err
			}
		}
	}
	return singles
}

// A command that nobody has fetched expires from the stream at the end of its attempt
// (docs/adr/0020-commands-expire.md). The outbox still holds it, and the commands of an absent
// participant must not fill the shared stream.

// life returns how long the stream of commands keeps a message, in whole seconds. It returns 0 if
// the message is kept until it is acknowledged. A first attempt is kept for at least a minute, so
// that a participant that is away briefly still receives it.
func (b *Bus) life(e *transport.Envelope) time.Duration {
	if e.Expires.IsZero() || e.Type != transport.TypeCommand || !b.expiring.Load() {
		return 0
	}
	left := time.Until(e.Expires)
	if e.Attempt < 2 {
		left = max(left, transport.MinLife)
	}
	return max(time.Second, (left + time.Second - 1).Truncate(time.Second))
}

// ttl formats a life as the value of the TTL header.
func ttl(life time.Duration) string { return strconv.Itoa(int(life/time.Second)) + "s" }

// errNoTTL is the server's error code for a message with a TTL in a stream that does not support
// TTLs.
const errNoTTL jetstream.ErrorCode = 10166

// refusedLife records that the stream no longer supports TTLs. The refused messages are sent again
// without a TTL.
func (b *Bus) refusedLife(err error) {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == errNoTTL {
		b.expiring.Store(false)
	}
}
