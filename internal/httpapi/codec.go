package httpapi

import (
	"bytes"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/internal/apipb"
)

// codec encodes messages by the JSON mapping of the API, which is the same on NATS. It is strict: an
// unknown field is an error.
type codec struct{ name string }

// codecs are for the two content types that Connect knows for JSON.
var codecs = [...]codec{{"json"}, {"json; charset=utf-8"}}

var _ connect.Codec = codec{}

// Name implements connect.Codec.
func (c codec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (codec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", message)
	}
	return apipb.EncodeJSON(m)
}

// Unmarshal implements connect.Codec. An error does not quote the data.
func (codec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", message)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("the body is empty; send JSON, {} for a request without fields")
	}
	return apipb.DecodeJSON(data, m)
}

// MarshalStable implements Connect's interface for stable codecs, which GET requests need.
func (c codec) MarshalStable(message any) ([]byte, error) { return c.Marshal(message) }

// IsBinary implements Connect's interface for stable codecs.
func (codec) IsBinary() bool { return false }
