package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/natsaccount"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
)

// Subscribe implements transport.Bus. If the server is not reachable or not ready, or a coordinator
// has to create the consumer and none does yet, Subscribe waits until ctx ends or
// Config.ConnectWait is over.
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

// whenReady calls try repeatedly while the server or the coordinator is not ready (notReady). It
// stops when try succeeds or fails for another reason, ctx ends, or ConnectWait is over. It logs
// that it waits.
func (b *Bus) whenReady(ctx context.Context, consumer string, try func() error) error {
	ctx, cancel := b.config.limit(ctx)
	defer cancel()
	line := waiting.On(b.config.told, "the coordinator, which creates the consumer; is it running, and does it use the same NATS server and prefix?", b.config.ConnectWait, "consumer", consumer)
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
	s.last.send = func(reply string) { s.send(reply, ack) }
	if sub.Stream.WorkQueue() && sub.MaxInFlight >= holdFrom {
		s.last.while = min(holdFor, sub.AckWait/8)
	}
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
	if sub.Stream == transport.StreamEvents && b.config.Provision == ProvisionCreate {
		b.rings.kept.Store(true) // only a coordinator receives answers
		b.lookSoon()
	}
	return s, nil
}

func check(sub transport.Subscription) error {
	switch {
	case sub.Name == "" && !sub.Ephemeral:
		return errors.New("a subscription needs a name unless it is ephemeral")
	case strings.ContainsFunc(sub.Name, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`.*>/\`, r) }):
		return fmt.Errorf("name %q has a character that a consumer's name must not have: . * > / \\ or a space", sub.Name)
	case sub.Ephemeral && sub.Stream.WorkQueue():
		return errors.New("a work queue cannot have ephemeral subscriptions: they would take messages away from the durable ones")
	}
	for _, known := range transport.Streams {
		if sub.Stream == known {
			return nil
		}
	}
	return fmt.Errorf("unknown stream %q; use one of %q", sub.Stream, transport.Streams)
}

// makeConsumer creates a consumer, or updates the existing one.
func (b *Bus) makeConsumer(ctx context.Context, stream transport.Stream, c jetstream.ConsumerConfig) error {
	_, err := b.js.CreateOrUpdateConsumer(ctx, b.names[stream], c)
	if consumerFilesMissing(err) && b.config.Provision == ProvisionCreate {
		err = b.recreateConsumer(ctx, stream, c)
	}
	if consumerCorrupt(err) && b.config.Provision == ProvisionCreate {
		err = b.recreateStream(ctx, stream, c)
	}
	if overlaps(err) {
		return fmt.Errorf("the subjects of consumer %s overlap with those of another consumer, but each message of a work queue goes to only one consumer: %w", c.Name, err)
	}
	if err != nil && errors.Is(context.Cause(ctx), nats.ErrDisconnected) {
		err = nats.ErrDisconnected // the reason for the end of ctx
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	return nil
}

// overlaps reports whether the server refused a consumer because its filter overlaps with the
// filter of another consumer of the same work queue.
func overlaps(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && (refused.ErrorCode == 10099 || refused.ErrorCode == 10100)
}

// consumerCorrupt reports whether the server cannot create a consumer because of an unreadable file
// of an earlier consumer with the same name. A power failure can leave such a file (nats-server
// 2.15.2).
func consumerCorrupt(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && (refused.ErrorCode == 10104 || refused.ErrorCode == 10012 && strings.Contains(refused.Description, "creating store"))
}

// recreateStream recreates first the stream, because the unreadable file cannot be removed in
// another way, and then the consumer. The stream's messages are lost on the server, but they are
// still pending in the outbox.
func (b *Bus) recreateStream(ctx context.Context, stream transport.Stream, c jetstream.ConsumerConfig) error {
	name := b.names[stream]
	b.config.Logger.Warn("the NATS server cannot read the stored state of a consumer; recreating the consumer's stream", "stream", name, "consumer", c.Name)
	if err := b.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if err := b.look(ctx); err != nil {
		return err
	}
	_, err := b.js.CreateOrUpdateConsumer(ctx, name, c)
	return err
}

// consumerFilesMissing reports whether the server cannot update a consumer because the consumer's
// files are gone. A server that is still deleting an earlier consumer with the same name also
// removes the files of the new one (nats-server 2.15.2). The new consumer works until the next
// subscription.
func consumerFilesMissing(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && refused.ErrorCode == 10012 && strings.Contains(refused.Description, "meta.inf") && strings.Contains(refused.Description, "no such file")
}

// recreateConsumer deletes the consumer, waits for the deletion, and creates the consumer again.
// Unacknowledged messages are redelivered.
func (b *Bus) recreateConsumer(ctx context.Context, stream transport.Stream, c jetstream.ConsumerConfig) error {
	name := b.names[stream]
	b.config.Logger.Warn("the NATS server has lost the files of a consumer; recreating the consumer", "stream", name, "consumer", c.Name)
	if err := b.js.DeleteConsumer(ctx, name, c.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	if err := pause(ctx, afterDeletion); err != nil {
		return err
	}
	_, err := b.js.CreateOrUpdateConsumer(ctx, name, c)
	return err
}

var _ transport.Provisioner = (*Bus)(nil)

// provided tracks the participants whose consumers this bus creates.
type provided struct {
	mu       sync.Mutex
	expected []string // sorted
	looked   time.Time
	fresh    bool // whether expected has changed since the last check of the consumers
	said     map[string]string
	accounts map[string]string // by participant that has asked for its consumer: natsaccount.Own or natsaccount.Coordinators
}

// commandsConsumer returns the configuration of a participant's consumer.
func (b *Bus) commandsConsumer(participant string, q api.SubscribeRequest) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Name: participant, Durable: participant,
		FilterSubject: b.subjects.Commands(participant),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       q.AckWait.Or(0),
		MaxAckPending: q.MaxInFlight,
		MaxDeliver:    -1, // coordinator and participant limit deliveries themselves
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
		c.Metadata[natsaccount.Key] = account
	}
	return c
}

// Provide implements transport.Provisioner.
func (b *Bus) Provide(ctx context.Context, participant string, q api.SubscribeRequest) (api.SubscribeResponse, error) {
	if b.isClosed() {
		return api.SubscribeResponse{}, transport.ErrClosed
	}
	ctx, cancel := b.question(ctx)
	defer cancel()
	if err := b.makeConsumer(ctx, transport.StreamCommands, b.commandsConsumer(participant, q)); err != nil {
		return api.SubscribeResponse{}, fmt.Errorf("create the consumer of %s: %w", participant, err)
	}
	if b.config.Memory && b.config.ConsumersFile != "" {
		_ = b.look(ctx, transport.StreamCommands) // stores the consumer; watch reports an error, and retries
	}
	return api.SubscribeResponse{Stream: b.names[transport.StreamCommands], Consumer: participant, Bundle: int(b.readers.events.Load())}, nil
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

// keepConsumers creates missing consumers of expected participants, at every second check. It also
// repairs consumers that would miss some of the participant's commands or deliver other messages.
func (b *Bus) keepConsumers(ctx context.Context) error {
	p := &b.provided
	p.mu.Lock()
	expected, due := p.expected, p.fresh || time.Since(p.looked) >= 2*b.config.CheckInterval
	if due {
		p.fresh, p.looked = false, time.Now()
	}
	p.mu.Unlock()
	if len(expected) == 0 || !due || b.config.Provision != ProvisionCreate {
		return nil
	}
	err := b.checkConsumers(ctx, expected)
	if err != nil {
		p.mu.Lock()
		p.fresh = true // repeat the check next time
		p.mu.Unlock()
	}
	return err
}

func (b *Bus) checkConsumers(ctx context.Context, expected []string) error {
	ctx, cancel := b.question(ctx)
	defer cancel()
	stream, err := b.js.Stream(ctx, b.names[transport.StreamCommands])
	if err != nil {
		return fmt.Errorf("stream %s: %w", b.names[transport.StreamCommands], err)
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
		return errors.Join(append(errs, fmt.Errorf("list the consumers of %s: %w", b.names[transport.StreamCommands], err))...)
	}
	if len(missing) > 0 && pause(ctx, afterDeletion) != nil { // the server may still be deleting them
		return ctx.Err()
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		err := b.makeMissing(ctx, name)
		if overlaps(err) { // a consumer with another name receives the participant's commands
			b.sayOnce(name, "a consumer that is not named after the participant receives its commands; the coordinator does not maintain that consumer", err)
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// makeMissing creates the consumer of a participant that has not asked for it. If the participant
// asks in the meantime, its consumer keeps the settings of its request.
func (b *Bus) makeMissing(ctx context.Context, participant string) error {
	c := b.commandsConsumer(participant, api.SubscribeRequest{})
	if _, err := b.js.CreateConsumer(ctx, b.names[transport.StreamCommands], c); err == nil || errors.Is(err, jetstream.ErrConsumerExists) {
		return nil
	}
	return b.makeConsumer(ctx, transport.StreamCommands, c) // also repairs missing or corrupt files
}

// checkConsumer repairs an unsafe consumer of commands. A push consumer can deliver to any subject
// with the server's permissions, for example to a subject that purges a stream. A consumer with a
// wrong filter takes other participants' commands; a consumer without acknowledgements loses its
// own commands.
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
		"deliver_subject", c.DeliverSubject, "filter", contract.Cut(fmt.Sprint(filters), maxQuoted), "ack_policy", c.AckPolicy.String())
	crashpoint.Here(crashpoint.ConsumerWrong)
	if err := b.js.DeleteConsumer(ctx, b.names[transport.StreamCommands], name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("delete consumer %s, which has the wrong configuration: %w", name, err)
	}
	if ours {
		if err := pause(ctx, afterDeletion); err != nil {
			return err
		}
		q := api.SubscribeRequest{AckWait: api.For(c.AckWait), MaxInFlight: c.MaxAckPending, Bundle: bundleOf(c.Metadata)}
		if err := b.makeConsumer(ctx, transport.StreamCommands, b.commandsConsumer(name, q)); err != nil {
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

// sayOnce logs a problem of a participant's consumer once, and again only after the problem has
// changed.
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

// askAgain is the interval at which a participant asks for its consumer even if the consumer seems
// to exist. A consumer that the bus recreates after a loss has only default settings.
const askAgain = 30 * time.Second

// AskConsumer asks the coordinator to create a participant's consumer, and waits for a coordinator
// until ctx ends. It is for programs that pull from the consumer themselves; Subscribe asks
// automatically.
func (b *Bus) AskConsumer(ctx context.Context, participant string, q api.SubscribeRequest) error {
	if err := b.whenReady(ctx, participant, func() error { return b.askConsumer(ctx, participant, q) }); err != nil {
		return fmt.Errorf("ask the coordinator to create the consumer of %s: %w", participant, err)
	}
	return nil
}

func (b *Bus) askConsumer(ctx context.Context, participant string, q api.SubscribeRequest) error {
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
	case reply.Code == string(api.CodeUnavailable), reply.Code == string(api.CodeResourceExhausted):
		return fmt.Errorf("%w: the coordinator replied %s: %s", errNoCoordinator, reply.Code, reply.Reason)
	case reply.Code != "":
		return fmt.Errorf("the coordinator refused the request: %s: %s", reply.Code, reply.Reason)
	}
	var answer api.SubscribeResponse
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("read the coordinator's reply: %w", err)
	}
	if answer.Stream != b.names[transport.StreamCommands] || answer.Consumer != participant {
		return fmt.Errorf("the coordinator created the consumer %s of stream %s, but this bus expects the consumer %s of stream %s: configure the coordinator and the participant with the same prefix", answer.Consumer, answer.Stream, participant, b.names[transport.StreamCommands])
	}
	b.readers.events.Store(int32(min(answer.Bundle, bundle.Most)))
	return nil
}

// errNoCoordinator is returned if currently no coordinator creates the consumer.
var errNoCoordinator = errors.New("no coordinator is ready to create the consumer")

// noteAccount records the account of a participant that asks for its consumer.
func (b *Bus) noteAccount(m *nats.Msg) {
	participant, ok := strings.CutPrefix(m.Subject, b.subjects.Subscribe(""))
	if !ok {
		return
	}
	own := strings.HasPrefix(m.Reply, imported)
	b.provided.mu.Lock()
	if b.provided.accounts == nil {
		b.provided.accounts = map[string]string{}
	}
	known := b.provided.accounts[participant]
	if len(b.provided.accounts) < MaxConsumers || known != "" {
		b.provided.accounts[participant] = natsaccount.Coordinators
		if own {
			b.provided.accounts[participant] = natsaccount.Own
		}
	}
	b.provided.mu.Unlock()
	if !own && known != natsaccount.Coordinators && b.nc.AuthRequired() {
		b.config.Logger.Warn(natsaccount.Risk, "participant", contract.Cut(participant, maxQuoted), "fix", natsaccount.Fix)
	}
}
