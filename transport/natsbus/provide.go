package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
)

var _ transport.Provisioner = (*Bus)(nil)

// provided tracks the participants for whom this bus creates consumers.
type provided struct {
	mu       sync.Mutex
	expected []string // sorted
	looked   time.Time
	fresh    bool // expected has changed since the consumers were checked
	said     map[string]string
	accounts map[string]string // accountOwn or accountShared, by participant that has asked for its consumer
}

// commandsConsumer returns the configuration of a participant's consumer.
func (b *Bus) commandsConsumer(participant string, q transport.SubscribeQuery) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Name: participant, Durable: participant,
		FilterSubject: b.subjects.Commands(participant),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       time.Duration(q.AckWaitMS) * time.Millisecond,
		MaxAckPending: q.MaxInFlight,
		MaxDeliver:    -1, // coordinator and participant limit deliveries
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	def(&c.AckWait, defaultAckWait)
	def(&c.MaxAckPending, defaultMaxInFlight)
	c.Metadata = map[string]string{}
	if q.Bundle > 1 {
		c.Metadata[metaBundle] = strconv.Itoa(min(q.Bundle, bundle.Most))
	}
	b.provided.mu.Lock()
	defer b.provided.mu.Unlock()
	if account := b.provided.accounts[participant]; account != "" {
		c.Metadata[metaAccount] = account
	}
	return c
}

// Provide implements transport.Provisioner.
func (b *Bus) Provide(ctx context.Context, participant string, q transport.SubscribeQuery) (transport.SubscribeReply, error) {
	if b.isClosed() {
		return transport.SubscribeReply{}, transport.ErrClosed
	}
	ctx, cancel := b.question(ctx)
	defer cancel()
	if err := b.makeConsumer(ctx, transport.Commands, b.commandsConsumer(participant, q)); err != nil {
		return transport.SubscribeReply{}, fmt.Errorf("make the consumer of %s: %w", participant, err)
	}
	return transport.SubscribeReply{Stream: b.names[transport.Commands], Consumer: participant, Bundle: int(b.readers.events.Load())}, nil
}

// Expect implements transport.Provisioner.
func (b *Bus) Expect(participants []string) {
	sorted := slices.Compact(slices.Sorted(slices.Values(participants)))
	b.provided.mu.Lock()
	defer b.provided.mu.Unlock()
	if !slices.Equal(sorted, b.provided.expected) {
		b.provided.expected, b.provided.fresh = sorted, true
		b.lookSoon()
	}
}

// keepConsumers creates, at every other check, the missing consumers of expected participants, and
// repairs those that would deliver other messages than the participant's commands, or not all of
// them.
func (b *Bus) keepConsumers(ctx context.Context) error {
	p := &b.provided
	p.mu.Lock()
	expected, due := p.expected, p.fresh || time.Since(p.looked) >= 2*b.config.CheckInterval
	if due {
		p.fresh, p.looked = false, time.Now()
	}
	p.mu.Unlock()
	if len(expected) == 0 || !due || b.config.Provision != Create {
		return nil
	}
	err := b.checkConsumers(ctx, expected)
	if err != nil {
		p.mu.Lock()
		p.fresh = true // at the next check
		p.mu.Unlock()
	}
	return err
}

func (b *Bus) checkConsumers(ctx context.Context, expected []string) error {
	ctx, cancel := b.question(ctx)
	defer cancel()
	stream, err := b.js.Stream(ctx, b.names[transport.Commands])
	if err != nil {
		return fmt.Errorf("stream %s: %w", b.names[transport.Commands], err)
	}
	missing := map[string]bool{}
	for _, name := range expected {
		missing[name] = true
	}
	var errs []error
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		delete(missing, info.Name)
		errs = append(errs, b.checkConsumer(ctx, info))
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return errors.Join(append(errs, fmt.Errorf("list the consumers of %s: %w", b.names[transport.Commands], err))...)
	}
	if len(missing) > 0 && pause(ctx, afterDeletion) != nil { // as in fix
		return ctx.Err()
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		err := b.makeMissing(ctx, name)
		if overlaps(err) { // a consumer with another name receives its commands
			b.sayOnce(name, "a consumer with another name receives a participant's commands; it is not maintained", err)
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// makeMissing creates the consumer of a participant that has not asked for it. A participant that
// asks in the meantime gets one with its own settings.
func (b *Bus) makeMissing(ctx context.Context, participant string) error {
	c := b.commandsConsumer(participant, transport.SubscribeQuery{})
	if _, err := b.js.CreateConsumer(ctx, b.names[transport.Commands], c); err == nil || errors.Is(err, jetstream.ErrConsumerExists) {
		return nil
	}
	return b.makeConsumer(ctx, transport.Commands, c) // which also handles repairs
}

// checkConsumer repairs an unsafe consumer of commands. A push consumer delivers with the server's
// permissions to any subject, such as one that purges a stream. A consumer with another filter, or
// without acknowledgements, takes other participants' commands or loses its own.
func (b *Bus) checkConsumer(ctx context.Context, info *jetstream.ConsumerInfo) error {
	name, c := info.Name, info.Config
	push := c.DeliverSubject != ""
	ours := b.isExpected(name)
	filters := c.FilterSubjects
	if c.FilterSubject != "" {
		filters = append(slices.Clip(filters), c.FilterSubject)
	}
	right := c.AckPolicy == jetstream.AckExplicitPolicy && len(filters) == 1 && filters[0] == b.subjects.Commands(name) &&
		c.DeliverPolicy == jetstream.DeliverAllPolicy && !c.HeadersOnly && c.MaxDeliver < 0 && c.InactiveThreshold == 0
	if !push && (right || !ours) {
		return nil
	}
	b.config.Logger.Warn("a consumer of commands has an unexpected configuration; repairing it", "consumer", name,
		"deliver_subject", c.DeliverSubject, "filter", cut(fmt.Sprint(filters)), "ack_policy", c.AckPolicy.String())
	crashpoint.Here(crashpoint.ConsumerWrong)
	if err := b.js.DeleteConsumer(ctx, b.names[transport.Commands], name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("delete consumer %s, which is not as it should be: %w", name, err)
	}
	if ours {
		if err := pause(ctx, afterDeletion); err != nil {
			return err
		}
		q := transport.SubscribeQuery{AckWaitMS: c.AckWait.Milliseconds(), MaxInFlight: c.MaxAckPending, Bundle: bundleOf(c.Metadata)}
		if err := b.makeConsumer(ctx, transport.Commands, b.commandsConsumer(name, q)); err != nil {
			return err
		}
	}
	b.stats.righted.Add(1)
	return nil
}

func (b *Bus) isExpected(participant string) bool {
	b.provided.mu.Lock()
	defer b.provided.mu.Unlock()
	_, found := slices.BinarySearch(b.provided.expected, participant)
	return found
}

// sayOnce logs a problem with a participant's consumer once, until it changes.
func (b *Bus) sayOnce(participant, what string, err error) {
	b.provided.mu.Lock()
	defer b.provided.mu.Unlock()
	if b.provided.said == nil {
		b.provided.said = map[string]string{}
	}
	if b.provided.said[participant] != err.Error() {
		b.provided.said[participant] = err.Error()
		b.config.Logger.Warn(what, "participant", participant, "error", err)
	}
}

// askAgain is how often a participant asks for its consumer although it seems to exist: one that
// was lost with the bus is recreated with default settings.
const askAgain = 30 * time.Second

// AskConsumer asks the coordinator to create a participant's consumer, and waits for a coordinator
// until ctx ends. It is for carriers that pull from the consumer themselves; Subscribe calls it on
// its own.
func (b *Bus) AskConsumer(ctx context.Context, participant string, q transport.SubscribeQuery) error {
	if err := b.whenReady(ctx, participant, func() error { return b.askConsumer(ctx, participant, q) }); err != nil {
		return fmt.Errorf("have the consumer of %s made: %w", participant, err)
	}
	return nil
}

func (b *Bus) askConsumer(ctx context.Context, participant string, q transport.SubscribeQuery) error {
	data, err := json.Marshal(q)
	if err != nil {
		return err
	}
	ctx, cancel := b.question(ctx)
	defer cancel()
	reply, err := b.Request(ctx, &transport.Envelope{Subject: b.subjects.Subscribe(participant), Type: transport.TypeRequest, Data: data})
	switch {
	case errors.Is(err, transport.ErrNoResponders), err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", errNoCoordinator, err)
	case err != nil:
		return err
	case reply.Code == string(transport.CodeUnavailable), reply.Code == string(transport.CodeResourceExhausted):
		return fmt.Errorf("%w: it says %s: %s", errNoCoordinator, reply.Code, reply.Reason)
	case reply.Code != "":
		return fmt.Errorf("the coordinator refuses: %s: %s", reply.Code, reply.Reason)
	}
	var answer transport.SubscribeReply
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("read the coordinator's reply: %w", err)
	}
	if answer.Stream != b.names[transport.Commands] || answer.Consumer != participant {
		return fmt.Errorf("the coordinator makes the consumer %s of %s, and this bus takes from %s of %s: give both the same prefix", answer.Consumer, answer.Stream, participant, b.names[transport.Commands])
	}
	b.readers.events.Store(int32(min(answer.Bundle, bundle.Most)))
	return nil
}

// ask asks the coordinator to create the subscription's consumer.
func (s *source) ask(ctx context.Context) error {
	if own := s.bus.subjects.Commands(s.sub.Name); len(s.sub.Subjects) != 1 || s.sub.Subjects[0] != own {
		return fmt.Errorf("the coordinator makes no consumer for %v under the name %s; a participant of that name takes %s, and with Provision Create a bus makes any consumer", s.sub.Subjects, s.sub.Name, own)
	}
	err := s.bus.askConsumer(ctx, s.sub.Name, transport.SubscribeQuery{
		AckWaitMS: s.sub.AckWait.Milliseconds(), MaxInFlight: s.sub.MaxInFlight, Bundle: max(s.sub.Bundle, 0),
	})
	if err == nil {
		s.asked.Store(time.Now().UnixNano())
	}
	return err
}

// errNoCoordinator is returned if no coordinator creates the consumer now.
var errNoCoordinator = errors.New("no coordinator that makes its consumer answers")
