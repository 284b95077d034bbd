package natswatermill

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
)

// marshal encodes a message. The UUID becomes the Nats-Msg-Id, and the metadata become headers.
func marshal(topic string, m *message.Message) (*nats.Msg, error) {
	out := &nats.Msg{Subject: topic, Header: nats.Header{}, Data: m.Payload}
	for key, value := range m.Metadata {
		if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return nil, fmt.Errorf("metadata key %q cannot be a header: use printable ASCII without spaces and colons", key)
		}
		if reserved(key) {
			continue // do not forward status headers with the message
		}
		if !verbatim(key) {
			value = percent.Encode(value)
		}
		out.Header[key] = []string{value}
	}
	if m.UUID != "" {
		out.Header[jetstream.MsgIDHeader] = []string{percent.Encode(m.UUID)}
	}
	return out, nil
}

// unmarshal decodes any message of a stream. It cannot fail. The values of a repeated header are
// joined by commas.
func unmarshal(m *nats.Msg) *message.Message {
	uuid := m.Header.Get(jetstream.MsgIDHeader)
	if uuid == "" {
		uuid = m.Header.Get(transport.AttrID)
	}
	if plain, ok := percent.Decode(uuid); ok {
		uuid = plain
	}
	if uuid == "" {
		if meta, err := m.Metadata(); err == nil {
			uuid = meta.Stream + "/" + strconv.FormatUint(meta.Sequence.Stream, 10)
		}
	}
	out := message.NewMessage(uuid, m.Data)
	for key, values := range m.Header {
		if reserved(key) {
			continue
		}
		value := strings.Join(values, ",")
		if !verbatim(key) {
			if plain, ok := percent.Decode(value); ok { // keep a value that is not percent-encoded
				value = plain
			}
		}
		out.Metadata[key] = value
	}
	return out
}

func reserved(key string) bool { return len(key) > 5 && strings.EqualFold(key[:5], "nats-") }

// verbatim reports whether a header belongs to another standard and is sent unchanged.
func verbatim(key string) bool {
	return strings.EqualFold(key, transport.AttrTraceParent) || strings.EqualFold(key, transport.AttrTraceState)
}
