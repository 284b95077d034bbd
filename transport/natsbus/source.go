package natsbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// Defaults of transport.Subscription.
const (
	defaultAckWait     = 30 * time.Second
	defaultMaxInFlight = 4096
	inactive           = time.Minute // time without a receiver after which the server removes an ephemeral consumer
	prefetchBytes      = 32 << 20
)

// source is an open subscription. It has a durable consumer on the server and a local buffer of the
// consumer's messages.
type source struct {
	bus     *Bus
	sub     transport.Subscription
	name    string // name of the consumer
	puller  *pull.Puller
	suspect atomic.Bool   // whether the consumer may be gone
	asked   atomic.Int64  // when the coordinator last created the consumer, in Unix nanoseconds
	head    atomic.Uint64 // the stream's first sequence if it was the same at the last two checks, else 0
	once    sync.Once
	tracked tracked
	last    lastAck

	mu    sync.Mutex
	ready []*delivery // opened deliveries that Receive has not returned yet
}

// asks reports whether the coordinator creates the consumer.
func (s *source) asks() bool {
	return s.bus.config.Provision == ProvisionAsk && s.sub.Stream == transport.StreamCommands && !s.sub.Ephemeral
}

// provision creates the consumer, or updates it to match the subscription.
func (s *source) provision(ctx context.Context) error {
	if s.asks() {
		return s.ask(ctx)
	}
	ctx, cancel := s.bus.question(ctx)
	defer cancel()
	if s.sub.Claim != nil {
		if err := s.sub.Claim(ctx); err != nil {
			return fmt.Errorf("only the owner of the prefix may use consumer %s: %w", s.name, err)
		}
	}
	c := jetstream.ConsumerConfig{
		Name:          s.name,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       s.sub.AckWait,
		MaxAckPending: s.sub.MaxInFlight,
		MaxDeliver:    -1, // coordinator and participant limit deliveries themselves
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if len(s.sub.Subjects) == 1 {
		// A single filter becomes a token of the API's subject. Permissions can then limit a
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
	if s.sub.Bundle > 1 && s.sub.Stream == transport.StreamCommands {
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

// ask asks the coordinator to create the subscription's consumer.
func (s *source) ask(ctx context.Context) error {
	if own := s.bus.subjects.Commands(s.sub.Name); len(s.sub.Subjects) != 1 || s.sub.Subjects[0] != own {
		return fmt.Errorf("the coordinator does not create a consumer for %v with the name %s, because a participant of that name receives %s; give the participant the prefix of the bus, or use ProvisionCreate for other consumers", s.sub.Subjects, s.sub.Name, own)
	}
	err := s.bus.askConsumer(ctx, s.sub.Name, api.SubscribeRequest{
		AckWait: api.For(s.sub.AckWait), MaxInFlight: s.sub.MaxInFlight, Bundle: max(s.sub.Bundle, 0),
	})
	if err == nil {
		s.asked.Store(time.Now().UnixNano())
	}
	return err
}

// exclude removes other consumers of a work queue, which belong to earlier owners.
func (s *source) exclude(ctx context.Context) error {
	stream, err := s.bus.js.Stream(ctx, s.bus.names[s.sub.Stream])
	if err != nil {
		return err
	}
	var errs []error
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		if name == s.name {
			continue
		}
		s.bus.config.Logger.Warn("removing a consumer that does not belong to the owner of the prefix", "stream", s.bus.names[s.sub.Stream], "consumer", name)
		if err := s.bus.js.DeleteConsumer(ctx, s.bus.names[s.sub.Stream], name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			errs = append(errs, err)
		}
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// lost is called by the puller if the consumer may be gone. It must not block.
func (s *source) lost(string) {
	s.suspect.Store(true)
	s.bus.lookSoon()
}

// fix recreates a missing consumer. If it returns an error, the consumer's state is unknown.
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
		// A server that is still deleting the consumer would remove the files of the new one, and
		// refuse the next process that subscribes (see consumerFilesMissing).
		if err = pause(ctx, afterDeletion); err == nil {
			err = s.provision(ctx)
		}
	}
	if err != nil {
		s.suspect.Store(true) // retried at the next check
		if ctx.Err() == nil {
			s.bus.config.Logger.Warn("cannot recreate a NATS consumer that seems to be missing; retrying", "consumer", s.name, "error", err)
		}
		return err
	}
	s.bus.stats.recreated.Add(1)
	s.puller.Reset()
	return nil
}

// askOnce asks the coordinator to create the consumer again, if the consumer may be gone or
// askAgain has passed since the last time.
func (s *source) askOnce(ctx context.Context) error {
	suspect := s.suspect.Swap(false)
	if !suspect && time.Since(time.Unix(0, s.asked.Load())) < askAgain {
		return nil
	}
	var err error
	if suspect {
		err = pause(ctx, afterDeletion) // wait until the server has deleted the old one, as fix does
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
	return nil // a missing coordinator says nothing about the server
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
		s.last.stop()
		if forget {
			s.bus.mu.Lock()
			delete(s.bus.sources, s)
			s.bus.mu.Unlock()
		}
		if s.sub.Ephemeral && s.bus.nc.IsConnected() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = s.bus.js.DeleteConsumer(ctx, s.bus.names[s.sub.Stream], s.name) // otherwise the server deletes it later
		}
	})
}

// Receive implements transport.Source.
func (s *source) Receive(ctx context.Context, max int) ([]transport.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ready := s.takeReady(max); len(ready) > 0 {
			return s.handOut(ready), nil
		}
		batch, err := s.puller.Take(ctx, max)
		if err != nil {
			return nil, err
		}
		s.open(batch)
	}
}

// takeReady takes up to n deliveries from ready.
func (s *source) takeReady(n int) []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.ready))
	taken := s.ready[:n:n]
	if s.ready = s.ready[n:]; len(s.ready) == 0 {
		s.ready = nil
	}
	return taken
}

func (s *source) handOut(ready []*delivery) []transport.Delivery {
	list := make([]transport.Delivery, len(ready))
	now := time.Now()
	var renewed *nats.Msg
	for i, d := range ready {
		if now.Sub(d.arrived) > s.sub.AckWait/2 && d.msg != renewed {
			d.InProgress()
			renewed = d.msg
		}
		if d.delivered > 1 {
			s.bus.stats.redelivered.Add(1)
		}
		list[i] = d
	}
	s.bus.stats.received.Add(int64(len(list)))
	return list
}

// open decodes a batch, including bundles, and adds its deliveries to ready. It dead-letters
// messages that cannot be decoded.
func (s *source) open(batch []pull.Message) {
	ready := make([]*delivery, 0, len(batch))
	list := make([]delivery, len(batch)) // one allocation for all deliveries
	var bad []*deadEntry
	now := time.Now()
	for i, m := range batch {
		if now.Sub(m.Arrived) >= s.sub.AckWait {
			s.bus.stats.stale.Add(1) // AckWait has passed, so the server redelivers the message
			continue
		}
		d := &list[i]
		d.source, d.msg, d.arrived, d.delivered = s, m.Msg, m.Arrived, timesDelivered(m.Reply)
		if participant, n, ok := s.bus.subjects.ParseBundle(m.Subject); ok && s.sub.Stream.WorkQueue() {
			good, worse := s.openBundle(d, participant, n)
			ready, bad = append(ready, good...), append(bad, worse...)
			continue
		}
		var err error
		if d.envelope, err = wire.Decode(m.Msg); err == nil {
			err = s.bus.subjects.Admit(s.sub.Stream, &d.envelope)
		}
		if err != nil {
			bad = append(bad, d.deadEntry(err.Error()))
			continue
		}
		ready = append(ready, d)
	}
	s.mu.Lock()
	s.ready = append(s.ready, ready...)
	s.mu.Unlock()
	for _, l := range bad {
		l.delivery.answered.Store(true)
		if s.bus.dead.put(l) != nil {
			return // closed, so the server redelivers the messages
		}
		if s.bus.config.OnMalformed != nil {
			s.bus.config.OnMalformed(s.sub.Stream, l.reason)
		}
	}
}

// openBundle returns deliveries for a bundle's messages. If the bundle is malformed or contains a
// message of another participant, it dead-letters the whole bundle. The bundle's subject names the
// participant, and the server has checked the subject.
func (s *source) openBundle(whole *delivery, participant string, n int) (good []*delivery, bad []*deadEntry) {
	messages, err := bundle.Decode(whole.msg.Data, n)
	for i := range messages {
		stream, _ := s.bus.subjects.StreamOf(messages[i].Subject)
		if of := s.bus.subjects.Participant(messages[i].Subject); stream != s.sub.Stream || of != participant {
			err = fmt.Errorf("message %d of the bundle has the subject %q, but all messages of a bundle on %s must belong to the stream %s and the participant %s", i+1, contract.Cut(messages[i].Subject, maxQuoted), contract.Cut(whole.msg.Subject, maxQuoted), s.sub.Stream, participant)
			break
		}
	}
	if err != nil {
		return nil, []*deadEntry{whole.deadEntry(err.Error())}
	}
	group := bundle.NewGroup(len(messages), ack)
	list := make([]delivery, len(messages))
	for i := range messages {
		d := &list[i]
		d.source, d.msg, d.arrived, d.delivered, d.group, d.message, d.index = s, whole.msg, whole.arrived, whole.delivered, group, &messages[i], i+1
		if d.envelope, err = messages[i].Envelope(); err == nil {
			err = s.bus.subjects.Admit(s.sub.Stream, &d.envelope)
		}
		if err != nil {
			bad = append(bad, d.deadEntry(err.Error()))
			continue
		}
		good = append(good, d)
	}
	return good, bad
}

// weigh returns the number of deliveries in a message.
func (s *source) weigh(m *nats.Msg) int {
	if _, n, ok := s.bus.subjects.ParseBundle(m.Subject); ok {
		return min(n, bundle.Most)
	}
	return 1
}

// sweep removes messages that are acknowledged but still in the stream. A server that is killed or
// stopped after it has stored the acknowledgement, but before it has removed the message, later
// neither redelivers nor removes the message (nats-server 2.15.2, one node). Such messages would
// use the stream's bytes for ever and look like a backlog.
//
// sweep runs if the stream's first message is the same at two consecutive checks. Consumers of a
// work queue do not overlap, so no other consumer needs an acknowledged message.
func (s *source) sweep(ctx context.Context) error {
	head := s.head.Swap(0)
	if head == 0 || !s.sub.Stream.WorkQueue() || s.bus.config.Provision != ProvisionCreate {
		return nil
	}
	ctx, cancel := s.bus.question(ctx)
	defer cancel()
	name := s.bus.names[s.sub.Stream]
	consumer, err := s.bus.js.Consumer(ctx, name, s.name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // fix handles this
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", s.name, err)
	}
	floor := consumer.CachedInfo().AckFloor.Stream
	if floor < head {
		return nil // the first message waits for delivery or acknowledgement
	}
	stream, err := s.bus.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	before := stream.CachedInfo().State.Msgs
	for _, subject := range s.filters() {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(floor+1)); err != nil {
			return fmt.Errorf("remove acknowledged messages from stream %s: %w", name, err)
		}
	}
	if info, err := stream.Info(ctx); err == nil && info.State.FirstSeq > head {
		s.bus.config.Logger.Warn("removed acknowledged messages that a NATS stream had kept",
			"stream", name, "consumer", s.name, "up_to", floor, "before", before, "after", info.State.Msgs)
	}
	return nil
}

// unmoved records that a stream's first message was the same at two checks.
func (s *source) unmoved(stream transport.Stream, head uint64) {
	if s.sub.Stream == stream {
		s.head.Store(head)
	}
}

// filters returns the subjects that the source receives.
func (s *source) filters() []string {
	if len(s.sub.Subjects) > 0 {
		return s.sub.Subjects
	}
	return []string{s.bus.subjects.All(s.sub.Stream)}
}
