package watermillbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/amends-dev/amends/transport"
)

var (
	_ transport.Bus      = (*Bus)(nil)
	_ transport.Prefixer = (*Bus)(nil)
)

// Config describes a Bus. Publisher and Subscriber are required.
type Config struct {
	// Publisher is owned by the caller. Close does not close it.
	Publisher message.Publisher
	// Subscriber creates the subscriber for a subscription. Its consumer group must be
	// Subscription.Name. For an ephemeral subscription, the group must be new and start with new
	// messages. The source closes the subscriber.
	Subscriber func(transport.Subscription) (message.Subscriber, error)
	// Topic returns the topic for a subject or filter. Nil means Bus.Topic with Prefix.
	Topic func(stream transport.Stream, subject string) (string, error)
	// Prefix is the first token of every subject; "" means transport.DefaultPrefix.
	Prefix string
	// OnDropped, if not nil, is called for every message that could not be dead-lettered in three
	// tries. The message is acknowledged and therefore lost. OnDropped must not block.
	OnDropped func(subject string, err error)
}

// Bus is a transport.Bus on Watermill, created by New.
type Bus struct {
	config   Config
	subjects transport.Subjects
	resets   chan struct{}

	mu      sync.Mutex
	closed  bool
	sources map[*source]struct{}
}

// New creates a bus.
func New(config Config) (*Bus, error) {
	if config.Publisher == nil || config.Subscriber == nil {
		return nil, errors.New("watermillbus: Config.Publisher and Config.Subscriber are both needed")
	}
	b := &Bus{
		config:   config,
		subjects: transport.Subjects{Prefix: config.Prefix},
		resets:   make(chan struct{}),
		sources:  map[*source]struct{}{},
	}
	if config.Topic == nil {
		b.config.Topic = b.Topic
	}
	return b, nil
}

// Prefix implements transport.Prefixer.
func (b *Bus) Prefix() string { return cmp.Or(b.subjects.Prefix, transport.DefaultPrefix) }

// Topic is the default of Config.Topic. Each participant has one topic for its commands
// (saga.command.inventory). All answers share a topic (saga.event), as do all announcements
// (saga.lifecycle) and all dead letters (saga.dead).
func (b *Bus) Topic(stream transport.Stream, subject string) (string, error) {
	root := strings.TrimSuffix(b.subjects.All(stream), ".>")
	if stream != transport.StreamCommands {
		return root, nil
	}
	participant, _, _ := strings.Cut(strings.TrimPrefix(subject, root+"."), ".")
	if !strings.HasPrefix(subject, root+".") || strings.ContainsAny(participant, "*>") || participant == "" {
		return "", fmt.Errorf("subject %q names no participant, but each participant's commands have a topic of their own: use %s.<participant>.>", subject, root)
	}
	return root + "." + participant, nil
}

// Publish implements transport.Bus. It publishes consecutive envelopes of the same topic in one
// call. If that call fails, it publishes them one by one, so that each gets its own error.
func (b *Bus) Publish(ctx context.Context, batch []transport.Envelope) []error {
	errs := make([]error, len(batch))
	topics := make([]string, len(batch))
	messages := make([]*message.Message, len(batch))
	for i := range batch {
		topics[i], errs[i] = b.topicOf(batch[i].Subject)
		messages[i] = marshal(ctx, &batch[i])
	}
	for from := 0; from < len(batch); {
		to := from + 1
		for to < len(batch) && errs[from] == nil && errs[to] == nil && topics[to] == topics[from] {
			to++
		}
		b.publish(ctx, topics[from], messages[from:to], errs[from:to])
		from = to
	}
	bad := false
	for i, err := range errs {
		if err != nil {
			bad = true
			errs[i] = fmt.Errorf("publish on %s: %w", batch[i].Subject, err)
		}
	}
	if !bad {
		return nil
	}
	return errs
}

func (b *Bus) topicOf(subject string) (string, error) {
	if b.isClosed() {
		return "", transport.ErrClosed
	}
	stream, err := b.subjects.StreamOf(subject)
	if err != nil {
		return "", err
	}
	return b.config.Topic(stream, subject)
}

func (b *Bus) publish(ctx context.Context, topic string, messages []*message.Message, errs []error) {
	if errs[0] != nil {
		return
	}
	if ctx.Err() == nil && b.config.Publisher.Publish(topic, messages...) == nil {
		return
	}
	for i, m := range messages {
		if errs[i] = ctx.Err(); errs[i] == nil {
			errs[i] = b.config.Publisher.Publish(topic, m)
		}
	}
}

// Resets implements transport.Bus. It never signals.
func (b *Bus) Resets() <-chan struct{} { return b.resets }

// Close closes all sources. The publisher stays open.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	sources := b.sources
	b.sources = nil
	b.mu.Unlock()
	var errs []error
	for s := range sources {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (b *Bus) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// attrSubject is the metadata key of the subject.
const attrSubject = "ce-subject"

// Metadata of a dead letter in addition to the metadata of an envelope. The first two keys are the
// same as in natsbus.
const (
	keyOrigin      = "dead-stream"
	keySubject     = "dead-subject"      // percent-encoded
	keyMetadata    = "dead-metadata"     // metadata of the original message, as JSON, percent-encoded
	keyMetadataCut = "dead-metadata-cut" // original size in bytes; only set if the metadata was truncated
)

func marshal(ctx context.Context, e *transport.Envelope) *message.Message {
	id := e.DedupID
	if id == "" {
		id = watermill.NewUUID()
	}
	m := message.NewMessage(id, e.Data)
	m.SetContext(ctx)
	e.Attributes(m.Metadata.Set)
	m.Metadata.Set(attrSubject, e.Subject)
	return m
}

// unmarshal decodes a message of a topic. If it returns an error, the envelope contains the valid
// parts. In an answer, an invalid content type is no error.
func unmarshal(topic string, m *message.Message) (e transport.Envelope, err error) {
	e.Subject, e.Data = topic, m.Payload
	var unusable error
	seen := map[string]bool{}
	for key, value := range m.Metadata {
		name := strings.ToLower(key)
		switch {
		case seen[name] && name == transport.AttrTraceParent:
			e.DropTrace()
			continue
		case seen[name]:
			err = errors.Join(err, transport.BadAttribute(name, value, "is given more than once, in different letter case; give it once"))
		}
		seen[name] = true
		if name == attrSubject {
			e.Subject = value
			continue
		}
		problem := e.SetAttribute(name, value)
		if content, ok := errors.AsType[*transport.ContentTypeError](problem); ok {
			unusable = content
			continue
		}
		err = errors.Join(err, problem)
	}
	if !e.IsAnswer() {
		err = errors.Join(err, unusable)
	}
	return e, err
}
