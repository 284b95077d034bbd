package watermillbus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/amends-dev/amends/transport"
)

// source is an open subscription. It has its own subscriber, and one goroutine per topic, which
// forwards the topic's messages to arrived.
type source struct {
	bus        *Bus
	sub        transport.Subscription
	subscriber message.Subscriber
	cancel     context.CancelFunc
	arrived    chan incoming
	done       chan struct{}
	merging    sync.WaitGroup
	once       sync.Once
	closeErr   error

	mu   sync.Mutex
	held map[*message.Message]*time.Timer // timers of delayed nacks
}

type incoming struct {
	topic string
	m     *message.Message
}

// Subscribe implements transport.Bus.
func (b *Bus) Subscribe(ctx context.Context, sub transport.Subscription) (transport.Source, error) {
	s, err := b.subscribe(ctx, sub)
	if err != nil {
		return nil, fmt.Errorf("subscribe %s to %s: %w", sub.Name, sub.Stream, err)
	}
	return s, nil
}

func (b *Bus) subscribe(ctx context.Context, sub transport.Subscription) (*source, error) {
	if b.isClosed() {
		return nil, transport.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	topics, err := b.topicsOf(sub)
	if err != nil {
		return nil, err
	}
	subscriber, err := b.config.Subscriber(sub)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &source{
		bus: b, sub: sub, subscriber: subscriber, cancel: cancel,
		arrived: make(chan incoming),
		done:    make(chan struct{}),
		held:    map[*message.Message]*time.Timer{},
	}
	for topic := range topics {
		in, err := subscriber.Subscribe(running, topic)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.merging.Go(func() { s.merge(topic, in) })
	}
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.sources[s] = struct{}{}
	}
	b.mu.Unlock()
	if closed {
		s.Close()
		return nil, transport.ErrClosed
	}
	return s, nil
}

func (b *Bus) topicsOf(sub transport.Subscription) (map[string]bool, error) {
	filters := sub.Subjects
	if len(filters) == 0 {
		filters = []string{b.subjects.All(sub.Stream)}
	}
	topics := map[string]bool{}
	for _, filter := range filters {
		topic, err := b.config.Topic(sub.Stream, filter)
		if err != nil {
			return nil, err
		}
		topics[topic] = true
	}
	return topics, nil
}

// merge forwards the messages of one topic until its channel is closed.
func (s *source) merge(topic string, in <-chan *message.Message) {
	for m := range in {
		select {
		case s.arrived <- incoming{topic, m}:
		case <-s.done:
			m.Nack()
		}
	}
}

// Receive implements transport.Source.
func (s *source) Receive(ctx context.Context, max int) ([]transport.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var batch []transport.Delivery
		select {
		case <-s.done:
			return nil, transport.ErrClosed
		default:
		}
		select {
		case in := <-s.arrived:
			batch = s.open(ctx, batch, in)
		case <-s.done:
			return nil, transport.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		for more := true; more && len(batch) < max; {
			select {
			case in := <-s.arrived:
				batch = s.open(ctx, batch, in)
			default:
				more = false
			}
		}
		if len(batch) > 0 {
			return batch, nil
		}
	}
}

// open decodes a message and appends its delivery to the batch. It dead-letters an invalid message,
// and acknowledges a message that the filters of the subscription do not match.
func (s *source) open(ctx context.Context, batch []transport.Delivery, in incoming) []transport.Delivery {
	envelope, err := unmarshal(in.topic, in.m)
	if !s.wants(envelope.Subject) {
		in.m.Ack()
		return batch
	}
	d := &delivery{source: s, m: in.m, envelope: envelope}
	if err == nil {
		err = s.bus.subjects.Admit(s.sub.Stream, &d.envelope)
	}
	if err == nil {
		return append(batch, d)
	}
	if d.DeadLetter(ctx, err.Error()) != nil {
		d.Nak(0) // ctx has ended
	}
	return batch
}

func (s *source) wants(subject string) bool {
	for _, filter := range s.sub.Subjects {
		if transport.Matches(filter, subject) {
			return true
		}
	}
	return len(s.sub.Subjects) == 0
}

// Close implements transport.Source.
func (s *source) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.mu.Lock()
		for m, timer := range s.held {
			timer.Stop()
			m.Nack()
		}
		s.held = nil
		s.mu.Unlock()
		s.cancel()
		if err := s.subscriber.Close(); err != nil {
			s.closeErr = fmt.Errorf("close the subscriber of %s: %w", s.sub.Name, err)
		}
		s.merging.Wait()
		s.bus.mu.Lock()
		delete(s.bus.sources, s)
		s.bus.mu.Unlock()
	})
	return s.closeErr
}

// nackLater nacks a message after a delay, or earlier if the source is closed.
func (s *source) nackLater(m *message.Message, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil || delay <= 0 {
		m.Nack()
		return
	}
	s.held[m] = time.AfterFunc(delay, func() {
		s.mu.Lock()
		delete(s.held, m)
		s.mu.Unlock()
		m.Nack()
	})
}

// delivery is a received message.
type delivery struct {
	source   *source
	m        *message.Message
	envelope transport.Envelope
}

func (d *delivery) Envelope() *transport.Envelope { return &d.envelope }
func (d *delivery) Ack()                          { d.m.Ack() }
func (d *delivery) Nak(delay time.Duration)       { d.source.nackLater(d.m, delay) }
func (d *delivery) InProgress()                   {}
func (d *delivery) Redeliveries() int             { return -1 }

// DeadLetter publishes the dead letter in up to letterTries tries. It acknowledges the message even
// if all tries fail, because a message that is redelivered for ever would block later ones.
func (d *delivery) DeadLetter(ctx context.Context, reason string) error {
	var err error
	for try := range letterTries {
		if try > 0 && !pause(ctx, letterPause) {
			return fmt.Errorf("move a message on %s to the dead letters: %w", d.envelope.Subject, ctx.Err())
		}
		if err = d.publishLetter(ctx, reason); err == nil {
			break
		}
	}
	if err != nil && d.source.bus.config.OnDropped != nil {
		d.source.bus.config.OnDropped(d.envelope.Subject, err)
	}
	d.m.Ack()
	return nil
}

// Limits on publishing a dead letter.
const (
	letterTries = 3
	letterPause = 500 * time.Millisecond
	maxMetadata = 4 << 10 // maximum bytes of the original's metadata, as JSON
)

// pause sleeps for d and returns true. It returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *delivery) publishLetter(ctx context.Context, reason string) error {
	b, stream := d.source.bus, d.source.sub.Stream
	e := transport.Envelope{
		Subject: b.subjects.DeadLetter(stream, b.subjects.Participant(d.envelope.Subject)),
		ID:      d.m.UUID,
		Source:  "/amends/bus",
		Type:    transport.TypeDead,
		Time:    time.Now(),
		Reason:  reason,
		Data:    d.m.Payload,
	}
	topic, err := b.config.Topic(transport.StreamDeadLetters, e.Subject)
	if err != nil {
		return err
	}
	m := marshal(ctx, &e)
	m.Metadata.Set(keyOrigin, string(stream))
	m.Metadata.Set(keySubject, url.PathEscape(d.envelope.Subject))
	if len(d.m.Metadata) > 0 {
		text, err := json.Marshal(d.m.Metadata) // as one value, because the publisher may refuse the original keys
		if err != nil {
			return err
		}
		m.Metadata.Set(keyMetadata, url.PathEscape(string(text[:min(len(text), maxMetadata)])))
		if len(text) > maxMetadata {
			m.Metadata.Set(keyMetadataCut, strconv.Itoa(len(text)))
		}
	}
	return b.config.Publisher.Publish(topic, m)
}
