package watermillbus

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/amends-dev/amends/transport"
)

// AttrSubject is the metadata key under which an envelope's subject travels.
const AttrSubject = attrSubject

// ToMessage writes an envelope as a message: its attributes and its subject as
// metadata, its DedupID as UUID. It is for handlers in a router of one's own.
func ToMessage(ctx context.Context, e *transport.Envelope) *message.Message {
	return marshal(ctx, e)
}

// FromMessage reads an envelope from a message that came on a topic, which is its
// subject unless the metadata say otherwise. The error names the attributes that
// cannot be read; whether the envelope makes sense is for Subjects.Admit to say.
func FromMessage(topic string, m *message.Message) (transport.Envelope, error) {
	return unmarshal(topic, m)
}
