package natsbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
)

// Defaults of transport.Subscription.
const (
	defaultAckWait     = 30 * time.Second
	defaultMaxInFlight = 4096
	inactive           = time.Minute // then the server removes an ephemeral consumer
	prefetchBytes      = 32 << 20
)

// source is an open subscription: a durable consumer on the server and a local buffer of its
// messages.
type source struct {
	bus     *Bus
	sub     transport.Subscription
	name    string // of the consumer
	puller  *pull.Puller
	suspect atomic.Bool   // the consumer may be gone
	asked   atomic.Int64  // when the coordinator last created the consumer, in Unix nanoseconds
	head    atomic.Uint64 // the stream's first message, if it was the same at the last check; 0: it was not
	once    sync.Once
	tracked tracked

	mu    sync.Mutex
	ready []*delivery // opened and not returned by Receive yet
}

// Subscribe implements transport.Bus. It waits until ctx ends for a server that is away or not
// ready, and for a coordinator that has to create the consumer.
func (b *Bus) Subscribe(ctx context.Context, sub transport.Subscription) (s transport.Source, err error) {
	err = b.whenReady(ctx, sub.Name, func() error {
		opened, err := b.subscribe(ctx, sub)
		if err == nil {
			s = opened
		}
		return err
	})
	if err != nil && !errors.Is(err, transport.ErrClosed) {
		return nil, fmt.Errorf("subscribe %s to %s: %w", sub.Name, sub.Stream, err)
	}
	return s, err
}

// whenReady retries something that needs the server, and perhaps a coordinator, until it succeeds,
// ctx ends, or ConnectWait is over. It logs that it waits.
func (b *Bus) whenReady(ctx context.Context, consumer string, try func() error) error {
	ctx, cancel := b.config.limit(ctx)
	defer cancel()
	line := waiting.On(b.config.told, "the coordinator, which makes the consumer; is it running, on this server and with this prefix?", b.config.ConnectWait, "consumer", consumer)
	for {
		if b.isClosed() {
			return transport.ErrClosed
		}
		err := try()
		if err == nil {
			line.Over()
		}
		if err == nil || !notReady(err) {
			return err
		}
		line.Still(err)
		if pause(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("%w (last error: %w)", context.Cause(ctx), err)
		}
		b.config.Logger.Debug("retrying to subscribe", "consumer", consumer, "error", err)
	}
}

func (b *Bus) subscribe(ctx context.Context, sub transport.Subscription) (*source, error) {
	if sub.AckWait <= 0 {
		sub.AckWait = defaultAckWait
	}
	if sub.MaxInFlight <= 0 {
		sub.MaxInFlight = defaultMaxInFlight
	}
	if sub.Prefetch <= 0 {
		sub.Prefetch = b.config.Prefetch
	}
	if err := check(sub); err != nil {
		return nil, err
	}
	s := &source{bus: b, sub: sub, name: sub.Name}
	if sub.Ephemeral {
		s.name = strings.TrimPrefix(sub.Name+"-"+nuid.Next(), "-")
	}
	if err := s.provision(ctx); err != nil {
		return nil, err
	}
	puller, err := pull.New(pull.Config{
		Conn:      b.nc,
		Stream:    b.names[sub.Stream],
		Consumer:  s.name,
		Prefetch:  min(sub.Prefetch, sub.MaxInFlight),
		MaxBytes:  max(prefetchBytes, 2*int(b.nc.MaxPayload())),
		Expiry:    pullExpiry,
		Heartbeat: b.config.Heartbeat,
		Weigh:     s.weigh,
		OnLost:    s.lost,
	})
	if err != nil {
		return nil, err
	}
	s.puller = puller
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		puller.Close()
		return nil, transport.ErrClosed
	}
	b.sources[s] = struct{}{}
	if sub.Stream == transport.Events && b.config.Provision == Create {
		b.rings.kept.Store(true) // a coordinator
		b.lookSoon()
	}
	return s, nil
}

func check(sub transport.Subscription) error {
	switch {
	case sub.Name == "" && !sub.Ephemeral:
		return errors.New("a subscription that is not ephemeral has a name")
	case strings.ContainsFunc(sub.Name, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`.*>/\`, r) }):
		return fmt.Errorf("name %q has a character that a consumer's name must not have: . * > / \\ or a space", sub.Name)
	case sub.Ephemeral && sub.Stream.WorkQueue():
		return errors.New("a work queue has no ephemeral subscriptions: they would take messages away")
	}
	for _, known := range transport.Streams {
		if sub.Stream == known {
			return nil
		}
	}
	return fmt.Errorf("stream %q is none of the four", sub.Stream)
}

// asks reports whether the coordinator creates the consumer.
func (s *source) asks() bool {
	return s.bus.config.Provision == Ask && s.sub.Stream == transport.Commands && !s.sub.Ephemeral
}

// provision creates the consumer, or updates it for the subscription.
func (s *source) provision(ctx context.Context) error {
	if s.asks() {
		return s.ask(ctx)
	}
	ctx, cancel := s.bus.question(ctx)
	defer cancel()
	if s.sub.Claim != nil {
		if err := s.sub.Claim(ctx); err != nil {
			return fmt.Errorf("consumer %s is the owner's: %w", s.name, err)
		}
	}
	c := jetstream.ConsumerConfig{
		Name:          s.name,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       s.sub.AckWait,
		MaxAckPending: s.sub.MaxInFlight,
		MaxDeliver:    -1, // coordinator and participant limit deliveries
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if len(s.sub.Subjects) == 1 {
		// A single filter becomes a token of the API's subject, so that permissions can limit a
		// service to its own commands.
		c.FilterSubject = s.sub.Subjects[0]
	} else {
		c.FilterSubjects = s.sub.Subjects
	}
	if s.sub.Ephemeral {
		c.DeliverPolicy, c.InactiveThreshold = jetstream.DeliverNewPolicy, inactive
	} else {
		c.Durable = s.name
	}
	if s.sub.Bundle > 1 && s.sub.Stream == transport.Commands {
		c.Metadata = map[string]string{metaBundle: strconv.Itoa(s.sub.Bundle)}
	}
	err := s.bus.makeConsumer(ctx, s.sub.Stream, c)
	if s.sub.Claim != nil && overlaps(err) {
		if err = s.exclude(ctx); err == nil {
			err = s.bus.makeConsumer(ctx, s.sub.Stream, c)
		}
	}
	return err
}

// makeConsumer creates a consumer, or updates the existing one.
func (b *Bus) makeConsumer(ctx context.Context, stream transport.Stream, c jetstream.ConsumerConfig) error {
	_, err := b.js.CreateOrUpdateConsumer(ctx, b.names[stream], c)
	if consumerFilesMissing(err) && b.config.Provision == Create {
		err = b.recreateConsumer(ctx, stream, c)
	}
	if consumerCorrupt(err) && b.config.Provision == Create {
		err = b.recreateStream(ctx, stream, c)
	}
	if overlaps(err) {
		return fmt.Errorf("its subjects overlap those of another consumer, and a message of a work queue goes to one only: %w", err)
	}
	if err != nil && errors.Is(context.Cause(ctx), nats.ErrDisconnected) {
		err = nats.ErrDisconnected // the reason why ctx ended
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	return nil
}

// overlaps reports whether an error says that another consumer of a work queue has the same
// messages.
func overlaps(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10099 || api.ErrorCode == 10100)
}

// consumerCorrupt reports whether the server cannot create a consumer because of an unreadable file
// of an earlier consumer with that name, as left by a power failure (nats-server 2.15.2).
func consumerCorrupt(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10104 || api.ErrorCode == 10012 && strings.Contains(api.Description, "creating store"))
}

// recreateStream recreates the stream, which is the only way to remove such a file, and then the
// consumer. The stream's messages are lost, but still pending in the outbox.
func (b *Bus) recreateStream(ctx context.Context, stream transport.Stream, c jetstream.ConsumerConfig) error {
	name := b.names[stream]
	b.config.Logger.Warn("the NATS server cannot read what it stored of a consumer; its stream is recreated", "stream", name, "consumer", c.Name)
	if err := b.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if err := b.look(ctx); err != nil {
		return err
	}
	_, err := b.js.CreateOrUpdateConsumer(ctx, name, c)
	return err
}

// consumerFilesMissing reports whether the server cannot update a consumer because its files are
// gone: a server still deleting an earlier consumer with that name (nats-server 2.15.2) removes the
// files of its successor, which works until the next subscription.
func consumerFilesMissing(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == 10012 && strings.Contains(api.Description, "meta.inf") && strings.Contains(api.Description, "no such file")
}

// recreateConsumer deletes the consumer, waits until that is done, and creates it again.
// Unacknowledged messages are redelivered.
func (b *Bus) recreateConsumer(ctx context.Context, stream transport.Stream, c jetstream.ConsumerConfig) error {
	name := b.names[stream]
	b.config.Logger.Warn("the NATS server has lost the files of a consumer; it is recreated", "stream", name, "consumer", c.Name)
	if err := b.js.DeleteConsumer(ctx, name, c.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	if err := pause(ctx, afterDeletion); err != nil {
		return err
	}
	_, err := b.js.CreateOrUpdateConsumer(ctx, name, c)
	return err
}

// lost is called by the puller when the consumer may be gone. It must not block.
func (s *source) lost(string) {
	s.suspect.Store(true)
	s.bus.lookSoon()
}

// fix recreates the consumer if it is gone. An error means that its state is unknown.
func (s *source) fix(ctx context.Context) error {
	if s.asks() {
		return s.askOnce(ctx)
	}
	if !s.suspect.Swap(false) {
		return nil
	}
	look, cancel := s.bus.question(ctx)
	defer cancel()
	_, err := s.bus.js.Consumer(look, s.bus.names[s.sub.Stream], s.name)
	if err == nil {
		return nil
	}
	crashpoint.Here(crashpoint.ConsumerGone)
	gone := errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
	if gone {
		// A server that is still deleting it would remove the files of its successor, and refuse
		// the next process that subscribes (see consumerFilesMissing).
		if err = pause(ctx, afterDeletion); err == nil {
			err = s.provision(ctx)
		}
	}
	if err != nil {
		s.suspect.Store(true) // retried at the next check
		if ctx.Err() == nil {
			s.bus.config.Logger.Warn("a NATS consumer is missing; retrying to create it", "consumer", s.name, "error", err)
		}
		return err
	}
	s.bus.stats.recreated.Add(1)
	s.puller.Reset()
	return nil
}

// askOnce asks the coordinator for the consumer again if it may be gone, or after askAgain.
func (s *source) askOnce(ctx context.Context) error {
	suspect := s.suspect.Swap(false)
	if !suspect && time.Since(time.Unix(0, s.asked.Load())) < askAgain {
		return nil
	}
	var err error
	if suspect {
		err = pause(ctx, afterDeletion) // as in fix
	}
	if err == nil {
		err = s.ask(ctx)
	}
	if err != nil && suspect {
		s.suspect.Store(true) // retried at the next check
		if ctx.Err() == nil {
			s.bus.config.Logger.Warn("a NATS consumer seems to be missing, and no coordinator creates it; retrying", "consumer", s.name, "error", err)
		}
	}
	return nil // a missing coordinator is not the server's fault
}

// Close implements transport.Source.
func (s *source) Close() error {
	s.close(true)
	return nil
}

func (s *source) close(forget bool) {
	s.once.Do(func() {
		s.puller.Close()
		for _, d := range s.takeReady(math.MaxInt) {
			d.Nak(0)
		}
		if forget {
			s.bus.mu.Lock()
			delete(s.bus.sources, s)
			s.bus.mu.Unlock()
		}
		if s.sub.Ephemeral && s.bus.nc.IsConnected() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = s.bus.js.DeleteConsumer(ctx, s.bus.names[s.sub.Stream], s.name) // otherwise the server does so later
		}
	})
}
