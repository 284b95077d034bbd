package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
)

// ListDeadLetters implements transport.DeadLetterOffice. It asks the server once
// per dead letter.
func (b *Bus) ListDeadLetters(ctx context.Context, after uint64, limit int) ([]transport.DeadLetter, error) {
	stream, err := b.deadStream(ctx)
	if err != nil {
		return nil, err
	}
	var list []transport.DeadLetter
	for len(list) < limit {
		raw, err := stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(b.subjects.All(transport.DeadLetters)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return list, nil
		}
		if err != nil {
			return list, fmt.Errorf("list dead letters behind %d: %w", after, err)
		}
		after = raw.Sequence
		list = append(list, openLetter(raw))
	}
	return list, nil
}

// ReplayDeadLetter implements transport.DeadLetterOffice.
func (b *Bus) ReplayDeadLetter(ctx context.Context, sequence uint64) error {
	stream, raw, err := b.findLetter(ctx, sequence)
	if err != nil {
		return fmt.Errorf("replay dead letter %d: %w", sequence, err)
	}
	letter := openLetter(raw)
	if letter.Subject == "" {
		return fmt.Errorf("replay dead letter %d: it does not say where it came from; it was not put there by a bus", sequence)
	}
	if err := b.admitLetter(raw.Subject, &letter); err != nil {
		return fmt.Errorf("replay dead letter %d: %w", sequence, err)
	}
	if size := raw.Header.Get(headerCut); size != "" {
		return fmt.Errorf("replay dead letter %d: only %d of its %s bytes were kept, because it was too long", sequence, len(letter.Data), size)
	}
	if raw.Header.Get(headerBlock) != "" {
		return fmt.Errorf("replay dead letter %d: its headers cannot be read, so it would come back; publish it anew with right ones", sequence)
	}
	m := &nats.Msg{Subject: letter.Subject, Header: nats.Header{}, Data: letter.Data}
	for name, values := range letter.Header {
		// Words to the server, such as the id by which it would take the message
		// for a duplicate, are not said again.
		if !strings.HasPrefix(strings.ToLower(name), "nats-") {
			m.Header[name] = values
		}
	}
	id := fmt.Sprintf("replay-%d-%d", sequence, raw.Time.UnixNano()) // replayed twice, because of an error below: sent once
	if _, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("replay dead letter %d on %s: %w", sequence, letter.Subject, b.translate(err))
	}
	crashpoint.Here("natsbus: dead letter replayed")
	if err := stream.DeleteMsg(ctx, sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("replay dead letter %d: it was sent, but could not be removed: %w", sequence, err)
	}
	return nil
}

// admitLetter holds what a dead letter says of its origin against its own subject,
// which the server vouches for: whoever may write dead letters of commands could
// otherwise have answers sent in another service's name.
func (b *Bus) admitLetter(subject string, letter *transport.DeadLetter) error {
	origin, err := b.subjects.StreamOf(letter.Subject)
	if err != nil {
		return fmt.Errorf("it says that it came from %s, which is no subject here", letter.Subject)
	}
	if want := b.subjects.DeadLetter(origin); subject != want || letter.Stream != origin {
		return fmt.Errorf("it says that it came from %s, but lies on %s and not on %s; whoever put it there is no bus, or up to no good", letter.Subject, subject, want)
	}
	return nil
}

// DiscardDeadLetter implements transport.DeadLetterOffice.
func (b *Bus) DiscardDeadLetter(ctx context.Context, sequence uint64) error {
	stream, _, err := b.findLetter(ctx, sequence)
	if err == nil {
		err = stream.DeleteMsg(ctx, sequence)
	}
	if err != nil {
		return fmt.Errorf("discard dead letter %d: %w", sequence, err)
	}
	return nil
}

func (b *Bus) deadStream(ctx context.Context) (jetstream.Stream, error) {
	name := b.names[transport.DeadLetters]
	stream, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w%s", name, err, hint(err))
	}
	return stream, nil
}

func (b *Bus) findLetter(ctx context.Context, sequence uint64) (jetstream.Stream, *jetstream.RawStreamMsg, error) {
	stream, err := b.deadStream(ctx)
	if err != nil {
		return nil, nil, err
	}
	if sequence == 0 {
		return nil, nil, transport.ErrNoDeadLetter
	}
	raw, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, transport.ErrNoDeadLetter
	}
	return stream, raw, err
}

// openLetter reads what deadLetter wrote.
func openLetter(raw *jetstream.RawStreamMsg) transport.DeadLetter {
	letter := transport.DeadLetter{
		Sequence: raw.Sequence,
		Stream:   transport.Stream(raw.Header.Get(headerOrigin)),
		Subject:  raw.Header.Get(headerSubject),
		Time:     raw.Time,
		Header:   map[string][]string{},
		Data:     raw.Data,
	}
	letter.Reason, _ = percent.Decode(raw.Header.Get(transport.AttrReason))
	if block := raw.Header.Get(headerBlock); block != "" {
		letter.Header[headerBlock] = []string{block}
	}
	for name, values := range raw.Header {
		if original, ok := strings.CutPrefix(name, originalPrefix); ok {
			letter.Header[original] = values
		}
	}
	return letter
}
