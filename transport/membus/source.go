package membus

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/amends-dev/amends/transport"
)

// Source is a transport.Source, which receives messages of a subscription.
type Source struct {
	bus      *Bus
	consumer *consumer
	once     sync.Once
	done     chan struct{}
	taken    map[*item]*delivery // unacknowledged deliveries of this source; guarded by bus.mu
}

// Receive implements transport.Source.
func (s *Source) Receive(ctx context.Context, max int) ([]transport.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.bus.mu.Lock()
		batch := s.take(max)
		changed := s.consumer.watch()
		due, waits := s.consumer.nextDue()
		wait := due.Sub(s.bus.options.Now())
		closed := s.closed()
		s.bus.mu.Unlock()
		if closed {
			return nil, transport.ErrClosed
		}
		if len(batch) > 0 {
			return batch, nil
		}
		var alarm <-chan time.Time
		if waits {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			alarm = timer.C
		}
		select {
		case <-changed:
		case <-alarm:
		case <-s.done:
		case <-ctx.Done():
		}
	}
}

// TryReceive returns up to max deliveries that are available now, which may be none. It never
// blocks.
func (s *Source) TryReceive(max int) []transport.Delivery {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.closed() {
		return nil
	}
	return s.take(max)
}

func (s *Source) closed() bool {
	select {
	case <-s.done:
		return true
	default:
		return s.bus.closed
	}
}

// take delivers messages that are due. It dead-letters messages that are invalid on their stream.
func (s *Source) take(max int) (batch []transport.Delivery) {
	if s.closed() {
		return nil
	}
	now := s.bus.options.Now()
	for len(batch) < max {
		it := s.consumer.next(now)
		if it == nil {
			return batch
		}
		envelope := it.message.envelope
		if err := s.bus.subjects.Admit(s.consumer.stream.name, &envelope); err != nil {
			s.bus.bury(s.consumer, it.message, err.Error())
			continue
		}
		d := &delivery{source: s, item: it, envelope: envelope, redeliveries: it.delivered}
		s.consumer.deliver(it, d, now)
		s.taken[it] = d
		batch = append(batch, d)
	}
	return batch
}

// Newest implements transport.Tracker.
func (s *Source) Newest(ctx context.Context) (newest uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.closed() {
		return 0, transport.ErrClosed
	}
	for sequence, it := range s.consumer.items {
		it.back = false
		newest = max(newest, sequence)
	}
	return newest, nil
}

// TakenIn implements transport.Tracker.
func (s *Source) TakenIn(ctx context.Context, newest uint64) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.closed() {
		return false, transport.ErrClosed
	}
	for sequence, it := range s.consumer.items {
		if sequence <= newest && !it.back {
			return false, nil
		}
	}
	return true, nil
}

// Close implements transport.Source. Unacknowledged messages are redelivered at once.
func (s *Source) Close() error {
	s.once.Do(func() {
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		close(s.done)
		var back []*item
		for it, d := range s.taken {
			if it.delivery == d {
				back = append(back, it)
			}
		}
		slices.SortFunc(back, func(a, b *item) int { return int(a.order - b.order) })
		for _, it := range back {
			s.consumer.again(it, time.Time{})
		}
		s.taken = nil
		if s.consumer.subscription.Ephemeral {
			stream := s.consumer.stream
			stream.consumers = slices.DeleteFunc(stream.consumers, func(c *consumer) bool { return c == s.consumer })
		}
	})
	return nil
}

// delivery is a delivered message. Only its first acknowledgement within AckWait has an effect.
type delivery struct {
	source       *Source
	item         *item
	envelope     transport.Envelope
	redeliveries int
}

func (d *delivery) Envelope() *transport.Envelope { return &d.envelope }
func (d *delivery) Redeliveries() int             { return d.redeliveries }

// answer calls f with the bus locked, if this delivery can still be acknowledged.
func (d *delivery) answer(f func(c *consumer)) {
	bus := d.source.bus
	bus.mu.Lock()
	defer bus.mu.Unlock()
	if d.item.delivery == d && !bus.closed {
		f(d.source.consumer)
	}
}

func (d *delivery) Ack() {
	d.answer(func(c *consumer) {
		delete(d.source.taken, d.item)
		c.acknowledge(d.item.message)
	})
}

func (d *delivery) Nak(delay time.Duration) {
	d.answer(func(c *consumer) {
		delete(d.source.taken, d.item)
		due := time.Time{} // at once, ahead of all waiting messages
		if delay > 0 {
			due = d.source.bus.options.Now().Add(delay)
		}
		d.item.back = true
		c.again(d.item, due)
	})
}

func (d *delivery) InProgress() {
	d.answer(func(c *consumer) {
		c.extend(d.item, d.source.bus.options.Now())
	})
}

func (d *delivery) DeadLetter(ctx context.Context, reason string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.answer(func(c *consumer) {
		delete(d.source.taken, d.item)
		d.source.bus.bury(c, d.item.message, reason)
	})
	return nil
}
