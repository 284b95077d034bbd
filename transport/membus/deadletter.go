package membus

import (
	"context"

	"github.com/amends-dev/amends/transport"
)

// bury moves a message to the dead letters and acknowledges the message.
func (b *Bus) bury(c *consumer, m *message, reason string) {
	dead := m.envelope
	dead.Subject = b.subjects.DeadLetter(c.stream.name, b.subjects.Participant(m.envelope.Subject))
	dead.Type = transport.TypeDead
	dead.Reason = reason
	now := b.options.Now()
	kept := b.store(b.streams[transport.StreamDeadLetters], dead, now, false)
	kept.origin = &transport.DeadLetter{
		Sequence: kept.sequence,
		Stream:   c.stream.name,
		Subject:  m.envelope.Subject,
		Reason:   reason,
		Time:     now,
		Data:     kept.envelope.Data,
	}
	kept.original = m.envelope
	c.acknowledge(m)
}

// ListDeadLetters implements transport.DeadLetterOffice.
func (b *Bus) ListDeadLetters(ctx context.Context, after uint64, limit int) ([]transport.DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []transport.DeadLetter
	for _, m := range b.streams[transport.StreamDeadLetters].sorted() {
		if m.sequence > after && m.origin != nil && len(list) < limit {
			list = append(list, *m.origin)
		}
	}
	return list, nil
}

// ReplayDeadLetter implements transport.DeadLetterOffice.
func (b *Bus) ReplayDeadLetter(ctx context.Context, sequence uint64) error {
	return b.takeDeadLetter(ctx, sequence, func(m *message) error {
		again := m.original
		again.DedupID = "" // the bus has already accepted this DedupID
		return b.accept(&again)
	})
}

// DiscardDeadLetter implements transport.DeadLetterOffice.
func (b *Bus) DiscardDeadLetter(ctx context.Context, sequence uint64) error {
	return b.takeDeadLetter(ctx, sequence, func(*message) error { return nil })
}

// PurgeDeadLetters implements transport.DeadLetterOffice. A single call purges all matching dead
// letters.
func (b *Bus) PurgeDeadLetters(ctx context.Context, which transport.DeadLetterFilter, dry bool) (matched int, next uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.streams[transport.StreamDeadLetters]
	for _, m := range s.sorted() {
		if m.origin == nil || !which.Matches(b.subjects, m.origin) {
			continue
		}
		matched++
		if !dry {
			s.remove(m)
		}
	}
	return matched, 0, nil
}

func (b *Bus) takeDeadLetter(ctx context.Context, sequence uint64, with func(*message) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.streams[transport.StreamDeadLetters]
	m, ok := s.messages[sequence]
	if !ok || m.origin == nil {
		return transport.ErrNoDeadLetter
	}
	if err := with(m); err != nil {
		return err
	}
	s.remove(m)
	return nil
}
