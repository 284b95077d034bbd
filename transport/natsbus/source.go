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
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
)

// Defaults of transport.Subscription.
const (
	defaultAckWait     = 30 * time.Second
	defaultMaxInFlight = 4096
	inactive           = time.Minute // after which the server removes an ephemeral consumer
	prefetchBytes      = 32 << 20
)

// source is an open subscription: a durable consumer on the server and a buffer
// that is kept filled from it.
type source struct {
	bus     *Bus
	sub     transport.Subscription
	name    string // of the consumer
	puller  *pull.Puller
	suspect atomic.Bool   // the consumer seems to be gone
	head    atomic.Uint64 // the first message of the stream, if it does not move; 0: it does
	once    sync.Once

	mu    sync.Mutex
	ready []*delivery // of opened bundles, not handed out yet
}

// Subscribe implements transport.Bus. A server that goes away meanwhile, or is not
// ready, is waited for until ctx ends.
func (b *Bus) Subscribe(ctx context.Context, sub transport.Subscription) (transport.Source, error) {
	for {
		if b.isClosed() {
			return nil, transport.ErrClosed
		}
		s, err := b.subscribe(ctx, sub)
		if err == nil {
			return s, nil
		}
		if !notReady(err) || pause(ctx, 200*time.Millisecond) != nil {
			return nil, fmt.Errorf("subscribe %s to %s: %w", sub.Name, sub.Stream, err)
		}
		b.config.Logger.Debug("a subscription is tried again", "consumer", sub.Name, "error", err)
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
	if b.config.Provision != Trust {
		if err := s.provision(ctx); err != nil {
			return nil, err
		}
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
	crashpoint.Here("natsbus: subscribed")
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

// provision creates the consumer, or adapts it to the subscription.
func (s *source) provision(ctx context.Context) error {
	ctx, cancel := s.bus.question(ctx)
	defer cancel()
	c := jetstream.ConsumerConfig{
		Name:          s.name,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       s.sub.AckWait,
		MaxAckPending: s.sub.MaxInFlight,
		MaxDeliver:    -1, // the two ends decide when enough is enough
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if len(s.sub.Subjects) == 1 {
		// One filter becomes a token of the API's subject, so that permissions can
		// hold a service to its own commands.
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
	crashpoint.Here("natsbus: before a consumer is made")
	_, err := s.bus.js.CreateOrUpdateConsumer(ctx, s.bus.names[s.sub.Stream], c)
	if homeless(err) && s.bus.config.Provision == Create {
		err = s.renew(ctx, c)
	}
	if unreadable(err) && s.bus.config.Provision == Create {
		err = s.remake(ctx, c)
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == 10099 || api.ErrorCode == 10100) {
		return fmt.Errorf("its subjects overlap those of another consumer, and a message of a work queue goes to one only: %w", err)
	}
	if err != nil && errors.Is(context.Cause(ctx), nats.ErrDisconnected) {
		err = nats.ErrDisconnected // that is why ctx ended
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", s.name, err)
	}
	return nil
}

// unreadable says whether the server cannot make a consumer because an earlier
// one of this name has left a file that it cannot read, which a power cut does
// (nats-server 2.15.2).
func unreadable(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10104 || api.ErrorCode == 10012 && strings.Contains(api.Description, "creating store"))
}

// remake makes the stream anew, which alone removes such a file, and then the
// consumer. What the stream held is lost, and owed again: the bus may forget.
func (s *source) remake(ctx context.Context, c jetstream.ConsumerConfig) error {
	name := s.bus.names[s.sub.Stream]
	s.bus.config.Logger.Warn("the NATS server cannot read what it stored of a consumer; its stream is made anew", "stream", name, "consumer", s.name)
	if err := s.bus.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if err := s.bus.look(ctx); err != nil {
		return err
	}
	_, err := s.bus.js.CreateOrUpdateConsumer(ctx, name, c)
	return err
}

// homeless says whether the server cannot change a consumer because its files
// are gone: a server that is still busy deleting an earlier one of this name
// (nats-server 2.15.2) removes those of its successor, which works until somebody
// subscribes to it again.
func homeless(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == 10012 && strings.Contains(api.Description, "meta.inf") && strings.Contains(api.Description, "no such file")
}

// renew deletes the consumer, waits until that is over, and makes it anew. What
// it had delivered and was not acknowledged is delivered again.
func (s *source) renew(ctx context.Context, c jetstream.ConsumerConfig) error {
	name := s.bus.names[s.sub.Stream]
	s.bus.config.Logger.Warn("the NATS server has lost the files of a consumer; it is made anew", "stream", name, "consumer", s.name)
	if err := s.bus.js.DeleteConsumer(ctx, name, s.name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	if err := pause(ctx, afterDeletion); err != nil {
		return err
	}
	_, err := s.bus.js.CreateOrUpdateConsumer(ctx, name, c)
	return err
}

// lost is called by the puller. It must not block.
func (s *source) lost(string) {
	s.suspect.Store(true)
	s.bus.lookSoon()
}

// mend makes the consumer anew if it is gone. An error says why it is not known
// whether it is there.
func (s *source) mend(ctx context.Context) error {
	if !s.suspect.Swap(false) || s.bus.config.Provision == Trust {
		return nil
	}
	look, cancel := s.bus.question(ctx)
	defer cancel()
	_, err := s.bus.js.Consumer(look, s.bus.names[s.sub.Stream], s.name)
	if err == nil {
		return nil
	}
	crashpoint.Here("natsbus: consumer gone")
	gone := errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
	if gone {
		// A server that is still busy deleting it would remove the files of its successor, and
		// refuse the next process that subscribes (see homeless).
		if err = pause(ctx, afterDeletion); err == nil {
			err = s.provision(ctx)
		}
	}
	if err != nil {
		s.suspect.Store(true) // the next look tries again
		if ctx.Err() == nil {
			s.bus.config.Logger.Warn("a NATS consumer is not there; it is tried again", "consumer", s.name, "error", err)
		}
		return err
	}
	crashpoint.Here("natsbus: consumer made anew")
	s.bus.stats.recreated.Add(1)
	s.puller.Reset()
	return nil
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
		if s.sub.Ephemeral && s.bus.config.Provision != Trust && s.bus.nc.IsConnected() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = s.bus.js.DeleteConsumer(ctx, s.bus.names[s.sub.Stream], s.name) // else the server does, after a while
		}
	})
}
