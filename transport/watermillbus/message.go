package watermillbus

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/amends-dev/amends/transport"
)

// AttrSubject is the metadata key of an envelope's subject.
const AttrSubject = attrSubject

// ToMessage encodes an envelope as a message. Attributes and subject become metadata, and DedupID
// becomes the UUID. Use it in handlers of your own router.
func ToMessage(ctx context.Context, e *transport.Envelope) *message.Message {
	return marshal(ctx, e)
}

// FromMessage decodes a message to an envelope. If the metadata contain no subject, the subject is
// the topic. An error names the attributes that cannot be decoded. Call Subjects.Admit to validate
// the envelope.
func FromMessage(topic string, m *message.Message) (transport.Envelope, error) {
	return unmarshal(topic, m)
}
