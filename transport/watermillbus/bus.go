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

// Config says what the bus is made of. Publisher and Subscriber are needed.
type Config struct {
	// Publisher stays the caller's; Close does not close it.
	Publisher message.Publisher
	// Subscriber makes the subscriber of one subscription: its consumer group is
	// Subscription.Name, or, for an ephemeral one, a new one that begins with now.
	// The source closes it.
	Subscriber func(transport.Subscription) (message.Subscriber, error)
	// Topic is the topic of a subject, and of a filter. Nil: Topic with Prefix.
	Topic func(stream transport.Stream, subject string) (string, error)
	// Prefix is the first token of every subject; "": transport.DefaultPrefix.
	Prefix string
	// OnDropped is told of every message that belongs into the dead letters and could not
	// be published there, in three tries: it is acknowledged all the same. It must not
	// block. nil: nobody is told.
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

// Topic is the default: a topic for each participant's commands
// (saga.command.inventory), one for all answers (saga.event), one for all
// announcements (saga.lifecycle), one for all dead letters (saga.dead).
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

// Publish implements transport.Bus. Neighbours of the same topic go out in one
// call; if that fails they are tried one by one, so that each has its own error.
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

// attrSubject is where the subject travels.
const attrSubject = "ce-subject"

// Metadata of a dead letter beside those of an envelope; the first two as natsbus's.
const (
	keyOrigin      = "dead-stream"
	keySubject     = "dead-subject"      // percent-encoded
	keyMetadata    = "dead-metadata"     // the message's own, as JSON, percent-encoded
	keyMetadataCut = "dead-metadata-cut" // only if that was too long to be kept whole: how many bytes it had
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

// unmarshal reads a message that came on a topic. What could be read is returned
// also with an error. An answer whose content type cannot be used is one all the same.
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
