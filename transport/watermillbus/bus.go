package watermillbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/amends-dev/amends/transport"
)

var _ transport.Bus = (*Bus)(nil)

// Config configures a Bus. Publisher and Subscriber are required.
type Config struct {
	// Publisher belongs to the caller; Close does not close it.
	Publisher message.Publisher
	// Subscriber creates the subscriber of one subscription. Its consumer group is
	// Subscription.Name; an ephemeral subscription needs a new group that starts with new
	// messages. The source closes it.
	Subscriber func(transport.Subscription) (message.Subscriber, error)
	// Topic returns the topic of a subject or of a filter. Nil: Topic with Prefix.
	Topic func(stream transport.Stream, subject string) (string, error)
	// Prefix is the first token of every subject; "": transport.DefaultPrefix.
	Prefix string
	// OnDropped is called for every message that belongs in the dead letters but could not be
	// published there in three tries. It is acknowledged and lost. OnDropped must not block; it
	// may be nil.
	OnDropped func(subject string, err error)
}

// Bus is a transport.Bus over Watermill. Make one with New.
type Bus struct {
	config   Config
	subjects transport.Subjects
	resets   chan struct{}

	mu      sync.Mutex
	closed  bool
	sources map[*source]struct{}
}

// New makes a bus.
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

// Topic is the default for Config.Topic: one topic for each participant's commands
// (saga.command.inventory), one for all answers (saga.event), one for all announcements
// (saga.lifecycle), one for all dead letters (saga.dead).
func (b *Bus) Topic(stream transport.Stream, subject string) (string, error) {
	root := strings.TrimSuffix(b.subjects.All(stream), ".>")
	if stream != transport.Commands {
		return root, nil
	}
	participant, _, _ := strings.Cut(strings.TrimPrefix(subject, root+"."), ".")
	if !strings.HasPrefix(subject, root+".") || strings.ContainsAny(participant, "*>") || participant == "" {
		return "", fmt.Errorf("subject %q names no participant, and each participant's commands have a topic of their own: use %s.<participant>.>", subject, root)
	}
	return root + "." + participant, nil
}

// Publish implements transport.Bus. Consecutive envelopes of one topic are published in one call.
// If that fails they are published one by one, so that each has its own error.
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

// Metadata that a dead letter has beyond an envelope's. The first two are those of natsbus.
const (
	keyOrigin      = "dead-stream"
	keySubject     = "dead-subject"      // percent-encoded
	keyMetadata    = "dead-metadata"     // the message's own metadata, as JSON, percent-encoded
	keyMetadataCut = "dead-metadata-cut" // original size in bytes, if the metadata was too long and was cut
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

// unmarshal decodes a message from a topic. It returns what it could decode even with an error. An
// answer with an unusable content type is still decoded as an answer.
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
			err = errors.Join(err, transport.BadAttribute(name, value, "is there more than once, in different cases; give it once"))
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
