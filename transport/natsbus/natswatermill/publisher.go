package natswatermill

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

var _ message.Publisher = (*Publisher)(nil)

// Publisher publishes to JetStream. It is safe for concurrent use.
type Publisher struct {
	config Config
	js     jetstream.JetStream

	mu     sync.RWMutex // read-locked while publishing
	closed bool
	ready  sync.Map // topics whose streams exist
}

// NewPublisher returns a Publisher.
func NewPublisher(config Config) (*Publisher, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(config.Conn, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(config.PublishTimeout))
	if err != nil {
		return nil, fmt.Errorf("create publisher: %w", err)
	}
	return &Publisher{config: config, js: js}, nil
}

// Publish sends all messages at once and in order, and waits until the stream has stored all of
// them. After an error, some messages may be stored. If the caller publishes the same messages
// again within the deduplication window, no message is stored twice. If a message's context ends,
// Publish returns the context's error.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return fmt.Errorf("publish to %s: %w", topic, transport.ErrClosed)
	}
	if err := checkTopic(topic, false); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	err := p.publish(topic, messages, false)
	if (errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)) && !p.config.NoProvision {
		p.ready.Delete(topic) // the stream was deleted
		err = p.publish(topic, messages, true)
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

func (p *Publisher) publish(topic string, messages []*message.Message, again bool) error {
	if _, ok := p.ready.Load(topic); !ok {
		if err := p.config.provision(context.Background(), p.js, topic, again); err != nil {
			return err
		}
		p.ready.Store(topic, true)
	}
	futures := make([]jetstream.PubAckFuture, 0, len(messages))
	var failed error
	for _, m := range messages {
		future, err := p.send(topic, m)
		if err != nil {
			failed = err
			break
		}
		futures = append(futures, future)
	}
	for i, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			failed = errors.Join(failed, fmt.Errorf("message %s: %w", messages[i].UUID, err))
		case <-messages[i].Context().Done():
			failed = errors.Join(failed, fmt.Errorf("message %s: %w", messages[i].UUID, messages[i].Context().Err()))
		}
	}
	return failed
}

func (p *Publisher) send(topic string, m *message.Message) (jetstream.PubAckFuture, error) {
	err := m.Context().Err()
	var out *nats.Msg
	if err == nil {
		out, err = marshal(topic, m)
	}
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", m.UUID, err)
	}
	future, err := p.js.PublishMsgAsync(out, jetstream.WithRetryAttempts(0), jetstream.WithStallWait(p.config.PublishTimeout))
	if errors.Is(err, nats.ErrMaxPayload) {
		err = fmt.Errorf("%w: %w", transport.ErrTooLarge, err)
	}
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", m.UUID, err)
	}
	return future, nil
}

// Close waits for publishes in flight and refuses new ones. The connection stays open.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.js.CleanupPublisher()
	}
	return nil
}
