package natswatermill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
)

const (
	inactive      = time.Minute // after this time, the server removes a consumer without a group
	maxAckPending = 1024
	prefetchBytes = 32 << 20
)

// subscription is the state of one Subscribe call. It has InFlight workers that deliver messages,
// and one goroutine that maintains the consumer.
type subscription struct {
	subscriber *Subscriber
	config     Config
	topic      string
	consumer   string
	puller     *pull.Puller
	out        chan *message.Message
	lost       chan struct{} // signals that the consumer may be missing
	ended      chan struct{} // closed to stop further deliveries
	expired    chan struct{} // closed when it is too late to ack or nack
}

func (s *Subscriber) open(ctx context.Context, topic string) (*subscription, error) {
	if err := s.initialize(ctx, topic); err != nil {
		return nil, err
	}
	sub := &subscription{
		subscriber: s,
		config:     s.config,
		topic:      topic,
		consumer:   s.config.Consumer(topic),
		out:        make(chan *message.Message),
		lost:       make(chan struct{}, 1),
		ended:      make(chan struct{}),
		expired:    make(chan struct{}),
	}
	if s.config.Group == "" {
		sub.consumer = "once-" + nuid.Next()
		if err := s.provisionConsumer(ctx, topic, sub.consumer); err != nil {
			return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
		}
	}
	var err error
	sub.puller, err = pull.New(pull.Config{
		Conn:      s.config.Conn,
		Stream:    s.config.Stream(topic),
		Consumer:  sub.consumer,
		Prefetch:  s.config.Prefetch,
		MaxBytes:  max(prefetchBytes, 2*int(s.config.Conn.MaxPayload())),
		Heartbeat: s.config.Heartbeat,
		OnLost: func(string) {
			select {
			case sub.lost <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return sub, nil
}

func (s *Subscriber) provisionConsumer(ctx context.Context, topic, name string) error {
	if s.config.MakeConsumer != nil && s.config.Group != "" {
		return s.config.MakeConsumer(ctx, topic, name)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	c := jetstream.ConsumerConfig{
		Name:           name,
		FilterSubjects: []string{topic},
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        s.config.AckWait,
		MaxDeliver:     -1,
		MaxAckPending:  maxAckPending,
	}
	if s.config.Ordered {
		c.MaxAckPending = 1
	}
	if s.config.FromNew {
		c.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	if s.config.Group == "" {
		c.InactiveThreshold = inactive
	} else {
		c.Durable = name
	}
	_, err := s.js.CreateOrUpdateConsumer(ctx, s.config.Stream(topic), c)
	if err != nil {
		return fmt.Errorf("consumer %s: %w", name, err)
	}
	return nil
}

// run works until ctx ends or the subscriber is closed. It returns when its goroutines have ended
// and the channel is closed.
func (sub *subscription) run(ctx context.Context) {
	var workers, tender sync.WaitGroup
	for range sub.config.InFlight {
		workers.Go(func() { sub.work(ctx) })
	}
	tender.Go(sub.tend)
	select {
	case <-ctx.Done():
	case <-sub.subscriber.closing:
	}
	close(sub.ended)
	sub.puller.Close()
	grace := time.AfterFunc(max(sub.config.CloseTimeout, 0), func() { close(sub.expired) })
	workers.Wait()
	grace.Stop()
	tender.Wait()
	close(sub.out)
	if sub.config.Group == "" && sub.config.Conn.IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = sub.subscriber.js.DeleteConsumer(ctx, sub.config.Stream(sub.topic), sub.consumer) // if this fails, the server does it
	}
}

// work delivers one message at a time.
func (sub *subscription) work(ctx context.Context) {
	for {
		batch, err := sub.puller.Take(context.WithoutCancel(ctx), 1) // ends with puller.Close
		if err != nil {
			return
		}
		if m := batch[0]; time.Since(m.Arrived) < sub.config.AckWait { // an older message is redelivered
			sub.handle(ctx, m.Msg)
		}
	}
}

// watermillSubject is the metadata key of the subject of a message that was received with a
// wildcard filter. Package watermillbus reads it.
const watermillSubject = "ce-subject"

// handle delivers a message and sends the receiver's ack or nack to the server.
func (sub *subscription) handle(ctx context.Context, in *nats.Msg) {
	m := unmarshal(in)
	if in.Subject != sub.topic {
		m.Metadata.Set(watermillSubject, in.Subject) // the topic is only a filter
	}
	mctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	m.SetContext(mctx)
	busy := time.NewTicker(max(sub.config.AckWait/3, time.Millisecond))
	defer busy.Stop()
	out := sub.out
	ended := sub.ended // closed when deliveries stop; a message delivered earlier can still be acked
	for {
		select {
		case out <- m:
			out, ended = nil, nil
		case <-m.Acked():
			sub.answer(in, "+ACK")
			return
		case <-m.Nacked():
			delay := sub.config.NackDelay(delivered(in))
			sub.answer(in, fmt.Sprintf(`-NAK {"delay": %d}`, max(delay, 0).Nanoseconds()))
			return
		case <-busy.C:
			sub.answer(in, "+WPI")
		case <-ended:
			sub.answer(in, "-NAK")
			return
		case <-sub.expired:
			sub.answer(in, "-NAK")
			return
		}
	}
}

func delivered(in *nats.Msg) int {
	meta, err := in.Metadata()
	if err != nil {
		return 1
	}
	return int(meta.NumDelivered)
}

// answer sends an acknowledgement to the server. If the acknowledgement is lost, the message is
// redelivered.
func (sub *subscription) answer(in *nats.Msg, word string) {
	_ = sub.config.Conn.Publish(in.Reply, []byte(word))
}

// tend sends new pull requests after a reconnect, and recreates a missing consumer.
func (sub *subscription) tend() {
	nc := sub.config.Conn
	status := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(status)
	for {
		select {
		case <-sub.ended:
			return
		case _, open := <-status:
			if !open {
				return // the connection is closed permanently
			}
			sub.puller.Reset()
		case <-sub.lost:
			if err := sub.fix(); err != nil && nc.IsConnected() {
				sub.config.Logger.Error("the consumer is missing; retrying", err,
					watermill.LogFields{"topic": sub.topic, "consumer": sub.consumer})
			}
		}
	}
}

// fix recreates the stream and the consumer if the consumer is missing. The puller repeats its
// report until the consumer exists.
func (sub *subscription) fix() error {
	s := sub.subscriber
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	if sub.config.MakeConsumer != nil && sub.config.Group != "" {
		return s.provisionConsumer(ctx, sub.topic, sub.consumer) // the puller reports the loss again
	}
	_, err := s.js.Consumer(ctx, sub.config.Stream(sub.topic), sub.consumer)
	if err == nil || !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if err := sub.config.provision(ctx, s.js, sub.topic, true); err != nil {
		return err
	}
	if err := s.provisionConsumer(ctx, sub.topic, sub.consumer); err != nil {
		return err
	}
	sub.puller.Reset()
	return nil
}
