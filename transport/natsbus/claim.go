package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
)

// The claim lies in the stream of commands, where no participant can be: names begin with a
// letter.
//
//	saga.command._owner.claim         the claim, changed by compare-and-set
//	saga.command._owner.token.<inc>   by which its owner is known; gone when another one has it
//	saga.command._owner.pulse         the newest confirmation
//
// A token has a subject of its own for each process: what expects it to be where it was finds
// nothing once another owner has removed it, or the stream was made anew.
const ownerToken = "_owner"

const errWrongLast jetstream.ErrorCode = 10071 // "wrong last sequence"

// fence is what the server holds commands against.
type fence struct{ subject, sequence string }

// claims is the ownership.Registry of a bus.
type claims struct{ bus *Bus }

// Claims is the registry of the claim on the bus's prefix.
func (b *Bus) Claims() ownership.Registry { return claims{b} }

func (c claims) subject(rest string) string {
	return c.bus.subjects.Command(ownerToken, rest)
}

// Moved implements ownership.Registry.
func (c claims) Moved() <-chan struct{} { return c.bus.moved }

// Fences implements ownership.Registry: a stream with one copy takes messages in order, each
// held against what it expects. One with more takes no second one that expects something of
// a subject while the first is under way, so that commands could not be sent one behind the
// other.
func (c claims) Fences() bool { return c.bus.config.Replicas == 1 }

// Read implements ownership.Registry.
func (c claims) Read(ctx context.Context) (entry ownership.Entry, err error) {
	ctx, cancel := c.bus.question(ctx)
	defer cancel()
	stream, err := c.bus.js.Stream(ctx, c.bus.names[transport.Commands])
	if err != nil {
		return entry, fmt.Errorf("read the claim: %w", err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, c.subject("claim"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return entry, nil
	}
	if err != nil {
		return entry, fmt.Errorf("read the claim: %w", err)
	}
	var claim ownership.Claim
	if err := json.Unmarshal(m.Data, &claim); err != nil {
		return entry, fmt.Errorf("read the claim: message %d of %s is none: %w; delete it if no coordinator runs: nats stream rmm", m.Sequence, c.bus.names[transport.Commands], err)
	}
	entry.Claim, entry.At.Sequence = &claim, m.Sequence
	if m, err = stream.GetLastMsgForSubject(ctx, c.subject("pulse")); err == nil {
		entry.Pulse = m.Sequence
	} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return entry, fmt.Errorf("read the pulse of the claim: %w", err)
	}
	return entry, nil
}

// Write implements ownership.Registry.
func (c claims) Write(ctx context.Context, claim *ownership.Claim, over ownership.Position) (at ownership.Position, err error) {
	ctx, cancel := c.bus.question(ctx)
	defer cancel()
	data, err := json.Marshal(claim)
	if err != nil {
		return at, err
	}
	crashpoint.Here("natsbus: before a claim")
	if at.Sequence, err = c.publish(ctx, c.subject("claim"), data, c.subject("claim"), over.Sequence); err != nil {
		return at, fmt.Errorf("write the claim: %w", err)
	}
	crashpoint.Here("natsbus: claimed")
	stream, err := c.bus.js.Stream(ctx, c.bus.names[transport.Commands])
	if err != nil {
		return at, fmt.Errorf("write the claim: %w", err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(c.subject("token.*"))); err != nil {
		return at, fmt.Errorf("remove the token of the claim before: %w", err)
	}
	if over.Sequence > 0 {
		_ = stream.DeleteMsg(ctx, over.Sequence) // it counts for nothing, and would lie there
	}
	crashpoint.Here("natsbus: the claim before is void")
	if !claim.Released.IsZero() {
		c.bus.fence.Store(nil)
		return at, nil
	}
	token := c.subject("token." + claim.Incarnation)
	if at.Token, err = c.publish(ctx, token, nil, c.subject("claim"), at.Sequence); err != nil {
		return at, fmt.Errorf("write the token of the claim: %w", err)
	}
	c.bus.fence.Store(&fence{token, strconv.FormatUint(at.Token, 10)})
	c.bus.lookSoon() // consumers that waited for the claim
	return at, nil
}

// Confirm implements ownership.Registry.
func (c claims) Confirm(ctx context.Context, at ownership.Position) error {
	f := c.bus.fence.Load()
	if f == nil {
		return ownership.ErrMoved
	}
	ctx, cancel := c.bus.question(ctx)
	defer cancel()
	sequence, err := c.publish(ctx, c.subject("pulse"), nil, f.subject, at.Token)
	if err != nil {
		return fmt.Errorf("confirm the claim: %w", err)
	}
	stream, err := c.bus.js.Stream(ctx, c.bus.names[transport.Commands])
	if err == nil { // one pulse is enough
		_ = stream.Purge(ctx, jetstream.WithPurgeSubject(c.subject("pulse")), jetstream.WithPurgeSequence(sequence))
	}
	return nil
}

// publish stores a message if the last one of a subject is where it is expected.
func (c claims) publish(ctx context.Context, subject string, data []byte, expected string, last uint64) (uint64, error) {
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	if expected != subject {
		m.Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, expected)
	}
	ack, err := c.bus.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode == errWrongLast:
		return 0, fmt.Errorf("%w (%w)", ownership.ErrMoved, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		c.bus.lookSoon() // it makes it again
		return 0, err
	case err != nil:
		return 0, err
	}
	return ack.Sequence, nil
}

// hold puts into the headers of commands what the server is to hold them against: that the
// claim is still ours.
func (b *Bus) hold(messages []*nats.Msg) {
	f := b.fence.Load()
	if f == nil || b.config.Replicas != 1 {
		return
	}
	sequence, subject := []string{f.sequence}, []string{f.subject}
	for _, m := range messages {
		if s, err := b.subjects.StreamOf(m.Subject); err == nil && s == transport.Commands {
			m.Header[jetstream.ExpectedLastSubjSeqHeader], m.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = sequence, subject
		}
	}
}

// movedSoon signals that the claim should be confirmed now.
func (b *Bus) movedSoon() {
	select {
	case b.moved <- struct{}{}:
	default:
	}
}

// isClaim reports whether a subject is that of the claim, its token or its pulse.
func (b *Bus) isClaim(subject string) bool {
	return strings.HasPrefix(subject, b.subjects.Command(ownerToken, ""))
}

// exclude removes the subscriptions of others to a work queue: those of earlier owners.
func (s *source) exclude(ctx context.Context) error {
	stream, err := s.bus.js.Stream(ctx, s.bus.names[s.sub.Stream])
	if err != nil {
		return err
	}
	var errs []error
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		if name == s.name {
			continue
		}
		s.bus.config.Logger.Warn("a consumer that is not the owner's is removed", "stream", s.bus.names[s.sub.Stream], "consumer", name)
		if err := s.bus.js.DeleteConsumer(ctx, s.bus.names[s.sub.Stream], name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			errs = append(errs, err)
		}
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
