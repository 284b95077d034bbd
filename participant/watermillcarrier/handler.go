package watermillcarrier

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/watermillbus"
)

// Answerer is a participant, independent of its transaction type.
type Answerer interface {
	Answer(ctx context.Context, command *transport.Envelope) (*transport.Envelope, error)
}

// Handler returns a handler for a router. It passes each command to a participant, and returns the
// answer, which the router publishes.
//
// A command that has begun is finished, even if the router is closing and has cancelled the
// message's context. participant.HandlerTimeout limits how long that takes.
func Handler(p Answerer) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		ctx := context.WithoutCancel(m.Context())
		command, err := watermillbus.FromMessage(message.SubscribeTopicFromCtx(ctx), m)
		if err != nil {
			return nil, &participant.CommandError{Reason: err.Error()}
		}
		answer, err := p.Answer(ctx, &command)
		if err != nil {
			return nil, err
		}
		return message.Messages{watermillbus.ToMessage(ctx, answer)}, nil
	}
}

// Unanswerable reports whether a handler's error means that the message can never be answered,
// because it is not a command or not for this participant. After any other error, redelivery may
// succeed. An unknown action is not an error; the command is answered as failed but not final,
// since Watermill cannot redeliver after a delay.
//
//	aside, err := middleware.PoisonQueueWithFilter(publisher, "saga.dead.commands", watermillcarrier.Unanswerable)
//	router.AddMiddleware(aside)
func Unanswerable(err error) bool {
	var wrong *participant.CommandError
	return errors.As(err, &wrong)
}

// BySubject wraps a publisher. It publishes each answer with the answer's subject as the topic,
// instead of the router's topic. It is for buses whose topics are subjects, such as NATS. Close
// does not close the wrapped publisher.
func BySubject(publisher message.Publisher) message.Publisher { return bySubject{publisher} }

type bySubject struct{ publisher message.Publisher }

func (b bySubject) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		subject := m.Metadata.Get(watermillbus.AttrSubject)
		if subject == "" {
			subject = topic
		}
		if strings.ContainsAny(subject, "*>") {
			return fmt.Errorf("publish message %s: %q is a filter, not a subject", m.UUID, subject)
		}
		if err := b.publisher.Publish(subject, m); err != nil {
			return err
		}
	}
	return nil
}

func (bySubject) Close() error { return nil }
