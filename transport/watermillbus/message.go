package watermillbus

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/amends-dev/amends/transport"
)

// AttrSubject is the metadata key of an envelope's subject.
const AttrSubject = attrSubject

// ToMessage encodes an envelope as a message: attributes and subject as metadata, DedupID as UUID.
// It is for handlers in your own router.
func ToMessage(ctx context.Context, e *transport.Envelope) *message.Message {
	return marshal(ctx, e)
}

// FromMessage decodes an envelope from a message. The topic is its subject unless the metadata
// have one. The error names the attributes that cannot be decoded; Subjects.Admit validates the
// envelope.
func FromMessage(topic string, m *message.Message) (transport.Envelope, error) {
	return unmarshal(topic, m)
}
