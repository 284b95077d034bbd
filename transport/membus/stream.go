package membus

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/transport"
)

// message is an envelope in a stream.
type message struct {
	sequence uint64
	envelope transport.Envelope
	due      time.Time // earliest time of delivery
	order    int64     // order among messages that are due at the same time

	origin   *transport.DeadLetter // only set for a dead letter
	original transport.Envelope    // the original message, only set for a dead letter
}

// stream holds messages. A work queue removes a message after its acknowledgement; the other
// streams remove the oldest when new ones arrive. It is guarded by Bus.mu.
type stream struct {
	name      transport.Stream
	sequence  uint64
	messages  map[uint64]*message
	oldest    uint64 // lower bound on the sequences of the messages
	consumers []*consumer
	seen      map[string]time.Time // acceptance times by DedupID
	seenOrder []sighting
}

type sighting struct {
	id string
	at time.Time
}

func newStream(name transport.Stream) *stream {
	return &stream{name: name, messages: map[uint64]*message{}, oldest: 1, seen: map[string]time.Time{}}
}

func (s *stream) add(m *message) { s.messages[m.sequence] = m }

// trim removes the oldest messages above max.
func (s *stream) trim(max int) {
	for len(s.messages) > max {
		if m := s.messages[s.oldest]; m != nil {
			s.remove(m)
		}
		s.oldest++
	}
}

// remove removes a message from the stream and from the queues of all consumers.
func (s *stream) remove(m *message) {
	delete(s.messages, m.sequence)
	for _, c := range s.consumers {
		c.drop(m.sequence)
	}
}

// seenBefore reports whether an id was accepted within the window. It records the id.
func (s *stream) seenBefore(id string, now time.Time, window time.Duration) bool {
	if id == "" || window <= 0 {
		return false
	}
	for len(s.seenOrder) > 0 && now.Sub(s.seenOrder[0].at) >= window {
		delete(s.seen, s.seenOrder[0].id)
		s.seenOrder = s.seenOrder[1:]
	}
	if _, ok := s.seen[id]; ok {
		return true
	}
	s.seen[id] = now
	s.seenOrder = append(s.seenOrder, sighting{id, now})
	return false
}

func (s *stream) forget() {
	s.messages = map[uint64]*message{}
	s.oldest = s.sequence + 1
	s.seen, s.seenOrder = map[string]time.Time{}, nil
	for _, c := range s.consumers {
		c.forget()
	}
}

// sorted returns the stored messages, oldest first.
func (s *stream) sorted() []*message {
	list := make([]*message, 0, len(s.messages))
	for _, m := range s.messages {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *message) int { return int(int64(a.sequence) - int64(b.sequence)) })
	return list
}

// consumer returns the consumer of a subscription. It creates a consumer unless the durable one
// already exists.
func (s *stream) consumer(sub transport.Subscription) (*consumer, error) {
	if sub.Name == "" && !sub.Ephemeral {
		return nil, errors.New("a subscription needs a name unless it is ephemeral")
	}
	if sub.Ephemeral && s.name.WorkQueue() {
		return nil, errors.New("a work queue cannot have ephemeral subscriptions: they would take messages away from the durable ones")
	}
	if !sub.Ephemeral {
		for _, c := range s.consumers {
			if c.subscription.Name == sub.Name && !c.subscription.Ephemeral {
				c.configure(sub)
				return c, nil
			}
		}
	}
	c := newConsumer(s, sub)
	if s.name.WorkQueue() {
		for _, other := range s.consumers {
			if other.overlaps(c) {
				return nil, fmt.Errorf("its subjects overlap with those of %s, but a message of a work queue goes to one subscription only", other.subscription.Name)
			}
		}
	}
	if !sub.Ephemeral {
		for _, m := range s.sorted() {
			c.offer(m)
		}
	}
	s.consumers = append(s.consumers, c)
	return c, nil
}
