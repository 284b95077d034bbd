package natswatermill

import (
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// Subscriber receives from JetStream. It may be used from any goroutine.
type Subscriber struct {
	config Config
	js     jetstream.JetStream

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	running sync.WaitGroup // subscriptions
}

// NewSubscriber makes a Subscriber.
func NewSubscriber(config Config) (*Subscriber, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(config.Conn, jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		return nil, fmt.Errorf("make subscriber: %w", err)
	}
	return &Subscriber{config: config, js: js, closing: make(chan struct{})}, nil
}

// SubscribeInitialize makes the topic's stream and the group's consumer, so that
// the group receives what is published from now on.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	return s.initialize(context.Background(), topic)
}

func (s *Subscriber) initialize(ctx context.Context, topic string) error {
	if err := checkTopic(topic, s.config.NoProvision); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := s.config.provision(ctx, s.js, topic, false); err != nil {
		return fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	if s.config.Group == "" {
		return nil
	}
	if err := s.provisionConsumer(ctx, topic, s.config.Consumer(topic)); err != nil {
		return fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return nil
}

// Subscribe delivers the messages of a topic until ctx ends or the subscriber is
// closed; then the channel is closed. A message has the values of ctx, and its
// context ends when it was acknowledged or nacked, or the time to do so is over.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, fmt.Errorf("subscribe to %s: %w", topic, transport.ErrClosed)
	}
	s.running.Add(1)
	s.mu.Unlock()
	sub, err := s.open(ctx, topic)
	if err != nil {
		s.running.Done()
		return nil, err
	}
	go func() {
		defer s.running.Done()
		sub.run(ctx)
	}()
	return sub.out, nil
}

// Close ends all subscriptions: nothing more is handed out, what was handed out
// may still be answered within CloseTimeout, the rest is given back at once. It
// returns when all channels are closed. The connection stays open.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}
