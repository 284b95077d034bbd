package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
)

// The claim has its own stream, so that a full, stuck or purged stream of messages does not affect
// the claim. The stream of claims keeps the last message of each subject.
//
//	saga.owner.claim         the claim, changed by compare-and-set
//	saga.owner.token.<inc>   identifies the owner; removed when another store takes the claim
//	saga.owner.pulse         the newest confirmation
//
// Each process has a token on its own subject. A publish that expects the token's sequence fails
// after another owner has removed the token, or after the stream was recreated. The fence is such a
// token in the stream of commands; the server checks every command against it. An owner raises its
// fence in three steps: it reads the latch, confirms its claim, and then updates the latch by
// compare-and-set. The update fails if another owner has updated the latch in between.
//
//	saga.command._owner.fence.<inc>
//	saga.command._owner.latch
const fenceToken = "_owner" // not the name of a participant: such a name begins with a letter

const errWrongLast jetstream.ErrorCode = 10071 // "wrong last sequence"

// fence holds the header values with which the server checks commands.
type fence struct{ subject, sequence []string }

// claims is the ownership.Registry of a bus.
type claims struct{ bus *Bus }

// Claims returns the registry of claims on the bus's prefix.
func (b *Bus) Claims() ownership.Registry { return claims{b} }

func (c claims) subject(rest string) string { return c.bus.subjects.Owner(rest) }

func (c claims) name() string { return c.bus.config.ownerStream() }

// ConfirmNow implements ownership.Registry.
func (c claims) ConfirmNow() <-chan struct{} { return c.bus.moved }

// Fences implements ownership.Registry. With one replica, the server checks the expected sequence
// of each message in order. With more replicas, it refuses a message that expects a sequence of a
// subject while another message that expects a sequence of the same subject is in progress.
// Commands could not be pipelined then.
func (c claims) Fences() bool { return c.bus.fenced() && c.bus.fence.Load() != nil }

// fenced reports whether the server can check commands against a fence. It uses the stream's actual
// number of replicas instead of the configured number: an administrator may have changed the
// stream, and coordinators may be configured differently.
func (b *Bus) fenced() bool { return b.copies.Load() == 1 }

// stream returns the stream of claims. It creates a missing stream if the bus may do so, and
// returns an error if the stream's configuration could lose claims.
func (c claims) stream(ctx context.Context) (jetstream.Stream, error) {
	stream, err := c.bus.js.Stream(ctx, c.name())
	if err == nil {
		c.bus.claimsSeen.Store(true)
		return stream, c.drift(stream.CachedInfo().Config)
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) || c.bus.config.Provision != ProvisionCreate {
		return stream, err
	}
	if c.bus.claimsSeen.Load() {
		if err := pause(ctx, afterDeletion); err != nil { // the server may still be deleting the stream
			return nil, err
		}
	}
	stream, err = c.bus.js.CreateStream(ctx, c.wanted())
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return c.bus.js.Stream(ctx, c.name())
	}
	return stream, err
}

func (c claims) wanted() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: c.name(), Subjects: []string{c.subject(">")}, Description: "Amends: the owner of the prefix",
		MaxMsgsPerSubject: 1, MaxBytes: 1 << 20, Replicas: c.bus.config.Replicas,
	}
}

// drift reports the settings of the stream of claims that could evict a claim or prevent a write.
func (c claims) drift(have jetstream.StreamConfig) error {
	want := c.wanted()
	var errs []error
	add := func(field string, w, h any, flag string) {
		errs = append(errs, &DriftError{Stream: have.Name, Field: field, Want: fmt.Sprint(w), Have: fmt.Sprint(h), Fix: "nats stream edit " + have.Name + " " + flag})
	}
	if !slices.Contains(have.Subjects, want.Subjects[0]) {
		add("subjects", want.Subjects[0], strings.Join(have.Subjects, ","), "--subjects "+want.Subjects[0])
	}
	if have.Retention != want.Retention {
		errs = append(errs, &DriftError{Stream: have.Name, Field: "retention", Want: fmt.Sprint(want.Retention), Have: fmt.Sprint(have.Retention), Fix: "nats stream rm " + have.Name + " (retention cannot be edited; the owner recreates the stream)"})
	}
	if have.Discard != want.Discard {
		add("discard", word(want.Discard), word(have.Discard), "--discard "+word(want.Discard))
	}
	if have.NoAck {
		add("no_ack", false, true, "--ack")
	}
	if have.MaxAge > 0 {
		add("max_age", "unlimited", have.MaxAge, "--max-age=-1")
	}
	if have.MaxMsgs > 0 {
		add("max_msgs", "unlimited", have.MaxMsgs, "--max-msgs=-1")
	}
	if have.MaxMsgsPerSubject != want.MaxMsgsPerSubject {
		add("max_msgs_per_subject", want.MaxMsgsPerSubject, have.MaxMsgsPerSubject, "--max-msgs-per-subject=1")
	}
	if have.MaxBytes > 0 && have.MaxBytes < want.MaxBytes {
		add("max_bytes", want.MaxBytes, have.MaxBytes, fmt.Sprintf("--max-bytes=%d", want.MaxBytes))
	}
	if have.MaxMsgSize > 0 && have.MaxMsgSize < maxClaim {
		add("max_msg_size", fmt.Sprintf("%d or more", maxClaim), have.MaxMsgSize, fmt.Sprintf("--max-msg-size=%d", maxClaim))
	}
	return errors.Join(errs...)
}

// maxClaim bounds a claim with its headers, in bytes.
const maxClaim = 16 << 10

// check reports what is wrong with the stream of claims. It returns nil if we have no claim.
func (c claims) check(ctx context.Context) error {
	if c.bus.token.Load() == nil {
		return nil
	}
	stream, err := c.bus.js.Stream(ctx, c.name())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // the stream is recreated when the claim is confirmed
	}
	if err != nil {
		return fmt.Errorf("NATS stream %s: %w%s", c.name(), err, hint(err))
	}
	return c.drift(stream.CachedInfo().Config)
}

// Read implements ownership.Registry.
func (c claims) Read(ctx context.Context) (entry ownership.Entry, err error) {
	ctx, cancel := c.bus.question(ctx)
	defer cancel()
	stream, err := c.stream(ctx)
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
		return entry, fmt.Errorf("read the claim: message %d of stream %s is not a claim: %w; while no coordinator is running, delete the message with: nats stream rmm %[2]s %[1]d", m.Sequence, c.name(), err)
	}
	entry.Claim, entry.At.Sequence = &claim, m.Sequence
	if m, err = stream.GetLastMsgForSubject(ctx, c.subject("pulse")); err == nil {
		entry.Pulse = m.Sequence
	} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return entry, fmt.Errorf("read the last confirmation of the claim: %w", err)
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
	stream, err := c.stream(ctx)
	if err != nil {
		return at, fmt.Errorf("write the claim: %w", err)
	}
	c.bus.fence.Store(nil)
	if at.Sequence, err = c.publish(ctx, c.subject("claim"), data, c.subject("claim"), over.Sequence); err != nil {
		return at, fmt.Errorf("write the claim: %w", err)
	}
	crashpoint.Here(crashpoint.Claimed)
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(c.subject("token.*"))); err != nil {
		return at, fmt.Errorf("remove the token of the previous claim: %w", err)
	}
	crashpoint.Here(crashpoint.ClaimVoid)
	if !claim.Released.IsZero() {
		c.bus.token.Store(nil)
		return at, nil
	}
	latch, latched := c.latch(ctx)
	if at.Token, err = c.publish(ctx, c.subject("token."+claim.Incarnation), nil, c.subject("claim"), at.Sequence); err != nil {
		return at, fmt.Errorf("write the token of the claim: %w", err)
	}
	c.bus.token.Store(&claim.Incarnation)
	if latched {
		c.raise(ctx, latch)
	}
	c.bus.lookSoon() // consumers may be waiting for the claim
	return at, nil
}

// latch returns the sequence of the latch, or 0 if there is no latch. ok is false if the sequence
// is unknown or the server cannot check fences.
func (c claims) latch(ctx context.Context) (at uint64, ok bool) {
	stream, err := c.bus.js.Stream(ctx, c.bus.names[transport.StreamCommands])
	if err != nil {
		return 0, false // the stream is recreated together with the fence
	}
	if c.bus.copies.Store(int32(stream.CachedInfo().Config.Replicas)); !c.bus.fenced() {
		return 0, false
	}
	m, err := stream.GetLastMsgForSubject(ctx, c.bus.subjects.Command(fenceToken, "latch"))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, true
	case err != nil:
		return 0, false
	}
	return m.Sequence, true
}

// raise publishes our fence in the stream of commands and removes the fences of other owners. If
// the latch has changed since its sequence was read, or the stream is full, for example, raise only
// logs a warning. Until a later call succeeds, the bus has no fence and sends no commands.
func (c claims) raise(ctx context.Context, latch uint64) {
	c.bus.fence.Store(nil)
	at, commands := c.bus.subjects.Command(fenceToken, "latch"), c.bus.names[transport.StreamCommands]
	fenced := c.bus.subjects.Command(fenceToken, "fence."+*c.bus.token.Load())
	moved, err := c.publish(ctx, at, nil, at, latch)
	if err == nil {
		var stream jetstream.Stream
		if stream, err = c.bus.js.Stream(ctx, commands); err == nil {
			err = errors.Join(
				stream.Purge(ctx, jetstream.WithPurgeSubject(c.bus.subjects.Command(fenceToken, "fence.*"))),
				stream.Purge(ctx, jetstream.WithPurgeSubject(at), jetstream.WithPurgeSequence(moved)))
		}
	}
	var sequence uint64
	if err == nil {
		sequence, err = c.publish(ctx, fenced, nil, at, moved)
	}
	if err != nil {
		c.bus.config.Logger.Warn("cannot fence off the prefix's previous owner on the NATS server; retrying", "error", err)
		return
	}
	c.bus.fence.Store(&fence{[]string{fenced}, []string{strconv.FormatUint(sequence, 10)}})
}

// Confirm implements ownership.Registry.
func (c claims) Confirm(ctx context.Context, at ownership.Position) error {
	incarnation := c.bus.token.Load()
	if incarnation == nil {
		return ownership.ErrChanged
	}
	ctx, cancel := c.bus.question(ctx)
	defer cancel()
	var latch uint64
	latched := false
	if c.bus.fenced() && (c.bus.fallen.Swap(false) || c.bus.fence.Load() == nil) {
		latch, latched = c.latch(ctx)
	}
	if _, err := c.publish(ctx, c.subject("pulse"), nil, c.subject("token."+*incarnation), at.Token); err != nil {
		return fmt.Errorf("confirm the claim: %w", err)
	}
	if latched {
		c.raise(ctx, latch)
	}
	return nil
}

// publish stores a message on subject if the last message on the subject that expected names has
// the sequence last. Otherwise it returns ownership.ErrChanged.
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
	case errors.As(err, &api) && api.ErrorCode == errWrongLast, errors.Is(err, jetstream.ErrNoStreamResponse): // reading the claim shows why
		return 0, fmt.Errorf("%w (%w)", ownership.ErrChanged, err)
	case err != nil:
		return 0, err
	}
	return ack.Sequence, nil
}

// hold adds headers to commands, so that the server checks whether the claim is still ours. While
// the bus has no fence, hold itself refuses the commands, because the server could not refuse them
// after a new owner has taken the claim.
func (b *Bus) hold(messages []*nats.Msg, errs []error) {
	f := b.fence.Load()
	if b.token.Load() == nil || !b.fenced() {
		return
	}
	for i, m := range messages {
		switch s, err := b.subjects.StreamOf(m.Subject); {
		case err != nil || s != transport.StreamCommands:
		case f == nil:
			errs[i] = fmt.Errorf("%w: the NATS server does not check commands against the claim yet", transport.ErrFenced)
			b.confirmSoon()
		default:
			m.Header[jetstream.ExpectedLastSubjSeqHeader], m.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = f.sequence, f.subject
		}
	}
}

// refusedByFence records that the server has refused a command. Either another store owns the
// prefix, or the stream has lost our fence.
func (b *Bus) refusedByFence() {
	b.fallen.Store(true)
	b.confirmSoon()
}

// confirmSoon signals that the claim should be confirmed now.
func (b *Bus) confirmSoon() {
	select {
	case b.moved <- struct{}{}:
	default:
	}
}

// isFence reports whether a subject belongs to a fence or the latch.
func (b *Bus) isFence(subject string) bool {
	return strings.HasPrefix(subject, b.subjects.Command(fenceToken, ""))
}
