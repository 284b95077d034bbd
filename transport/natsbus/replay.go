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

// ListDeadLetters implements transport.DeadLetterOffice. It makes one request per dead letter.
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
			return list, fmt.Errorf("list dead letters after %d: %w", after, err)
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
	m, err := originalOf(raw, &letter)
	if err != nil {
		return fmt.Errorf("replay dead letter %d: %w", sequence, err)
	}
	id := fmt.Sprintf("replay-%d-%d", sequence, raw.Time.UnixNano()) // stable: a retry is deduplicated
	if _, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("replay dead letter %d on %s: %w", sequence, letter.Subject, b.translate(err))
	}
	crashpoint.Here(crashpoint.DeadLetterReplayed)
	if err := stream.DeleteMsg(ctx, sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("replay dead letter %d: it was sent, but could not be removed: %w", sequence, err)
	}
	return nil
}

// originalOf returns the message that a dead letter contains, without headers for the server and of
// dead letters. An error says why it cannot be replayed.
func originalOf(raw *jetstream.RawStreamMsg, letter *transport.DeadLetter) (*nats.Msg, error) {
	if size := raw.Header.Get(headerCut); size != "" {
		return nil, fmt.Errorf("only %d of its %s bytes were kept, because it was too long", len(letter.Data), size)
	}
	if size := raw.Header.Get(headerBlockCut); size != "" {
		return nil, fmt.Errorf("only the first %d of its %s bytes of headers were kept; publish it again with fewer", maxBlock, size)
	}
	m := &nats.Msg{Subject: letter.Subject, Data: letter.Data}
	encoded := raw.Header.Get(headerBlock)
	if encoded == "" {
		return m, nil
	}
	block, ok := percent.Decode(encoded)
	header, whole := readBlock(block)
	if !ok || !whole {
		return nil, errors.New("its headers cannot be read, so it would come back; publish it again with right ones")
	}
	m.Header = nats.Header{}
	for name, values := range header {
		if !control(name) && sendable(name) {
			m.Header[name] = values
		}
	}
	return m, nil
}

// control reports whether a header is addressed to or set by the server, such as a deduplication
// id, or belongs to dead letters.
func control(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "nats-") || strings.HasPrefix(name, "dead-") || name == "status" || name == "description"
}

// sendable reports whether a header name is an HTTP token, which clients can send. Other names are
// never read; those of the contract are all tokens.
func sendable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// admitLetter checks a dead letter's stated origin against its own subject, which the server has
// checked. Otherwise a client that may write dead letters of commands could have answers sent in
// another service's name.
func (b *Bus) admitLetter(subject string, letter *transport.DeadLetter) error {
	origin, err := b.subjects.StreamOf(letter.Subject)
	if err != nil {
		return fmt.Errorf("it says that it came from %s, which is no subject here", letter.Subject)
	}
	if want := b.subjects.DeadLetter(origin, b.subjects.Participant(letter.Subject)); subject != want || letter.Stream != origin {
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

// purgePage bounds the dead letters examined by one call of PurgeDeadLetters.
const purgePage = 2000

// PurgeDeadLetters implements transport.DeadLetterOffice. If the subject suffices as a filter, the
// server purges in one request; otherwise each dead letter is examined.
func (b *Bus) PurgeDeadLetters(ctx context.Context, which transport.DeadLetterFilter, dry bool) (matched int, next uint64, err error) {
	subject := b.subjects.DeadLetters(which.Stream, which.Participant)
	if !dry && which.Reason == "" && which.Before.IsZero() && which.After == 0 {
		matched, err = b.purge(ctx, subject, 0)
		return matched, 0, err
	}
	stream, err := b.deadStream(ctx)
	if err != nil {
		return 0, 0, err
	}
	var found []uint64
	seen := 0
	err = b.scan(ctx, subject, which.After+1, func(l *scanned) bool {
		letter := openLetter(&jetstream.RawStreamMsg{Sequence: l.sequence, Header: l.header, Time: l.stored})
		late := !which.Before.IsZero() && !letter.Time.Before(which.Before) // and so are all after it
		if !late && strings.Contains(letter.Reason, which.Reason) {
			found = append(found, l.sequence)
		}
		if seen++; seen == purgePage {
			next = l.sequence
		}
		return !late && next == 0
	})
	for _, sequence := range found {
		if err != nil || dry {
			break
		}
		if err = stream.DeleteMsg(ctx, sequence); errors.Is(err, jetstream.ErrMsgNotFound) {
			err = nil
		}
		matched++
	}
	if dry {
		matched = len(found)
	}
	if err != nil {
		return matched, 0, fmt.Errorf("purge dead letters: %w", err)
	}
	return matched, next, nil
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

// openLetter decodes what deadLetter encoded.
func openLetter(raw *jetstream.RawStreamMsg) transport.DeadLetter {
	letter := transport.DeadLetter{
		Sequence: raw.Sequence,
		Stream:   transport.Stream(raw.Header.Get(headerOrigin)),
		Time:     raw.Time,
		Header:   map[string][]string{},
		Data:     raw.Data,
	}
	letter.Reason, _ = percent.Decode(raw.Header.Get(transport.AttrReason))
	letter.Subject, _ = percent.Decode(raw.Header.Get(headerSubject))
	encoded := raw.Header.Get(headerBlock)
	if encoded == "" {
		return letter
	}
	block, _ := percent.Decode(encoded)
	header, whole := readBlock(block)
	letter.Header = header
	if size := raw.Header.Get(headerBlockCut); size != "" {
		letter.Header[headerBlockCut] = []string{size}
	}
	if !whole {
		letter.Header[headerBlock] = []string{encoded}
	}
	return letter
}
