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

// Subscriber receives from JetStream. It is safe for concurrent use.
type Subscriber struct {
	config Config
	js     jetstream.JetStream

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	running sync.WaitGroup // counts subscriptions
}

// NewSubscriber returns a Subscriber.
func NewSubscriber(config Config) (*Subscriber, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(config.Conn, jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		return nil, fmt.Errorf("create subscriber: %w", err)
	}
	return &Subscriber{config: config, js: js, closing: make(chan struct{})}, nil
}

// SubscribeInitialize creates the topic's stream and the group's consumer. The group then receives
// all messages that are published from now on.
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

// Subscribe delivers the messages of a topic until ctx ends or the subscriber is closed, and then
// closes the channel. A message's context has the values of ctx. It ends when the message is acked
// or nacked, or when it is too late for either.
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

// Close ends all subscriptions. Delivered messages can be acked or nacked within CloseTimeout; all
// others are returned to the server at once. Close returns when all channels are closed. The
// connection stays open.
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
