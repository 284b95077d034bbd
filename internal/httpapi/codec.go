package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/api"
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

// Unmarshal implements connect.Codec. An invalid body makes an empty message that carries the
// refusal, because Connect would drop the refusal's details if Unmarshal returned it. refusalIn
// returns the refusal.
func (codec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", message)
	}
	err := errEmpty
	if len(bytes.TrimSpace(data)) > 0 {
		err = apipb.DecodeJSON(data, m)
	}
	if err == nil {
		return nil
	}
	refusal, ok := errors.AsType[*api.Error](err)
	if !ok {
		return err
	}
	carried, err := json.Marshal(refusal)
	if err != nil {
		return err
	}
	proto.Reset(m)
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, carrier, protowire.BytesType), carried))
	return nil
}

var errEmpty error = &api.Error{Code: api.CodeInvalidArgument, Reason: "the body is empty; send JSON, at least {}"}

// carrier is the field, which no message has, in which an empty message carries a refusal.
const carrier = protowire.MaxValidNumber

// refusalIn returns the refusal that Unmarshal has put into a message, or nil.
func refusalIn(m proto.Message) *api.Error {
	unknown := m.ProtoReflect().GetUnknown()
	number, kind, n := protowire.ConsumeTag(unknown)
	if number != carrier || kind != protowire.BytesType {
		return nil
	}
	carried, size := protowire.ConsumeBytes(unknown[n:])
	refusal := &api.Error{}
	if size < 0 || json.Unmarshal(carried, refusal) != nil || refusal.Code != api.CodeInvalidArgument {
		return nil
	}
	return refusal
}

// MarshalStable implements Connect's interface for stable codecs, which GET requests need.
func (c codec) MarshalStable(message any) ([]byte, error) { return c.Marshal(message) }

// IsBinary implements Connect's interface for stable codecs.
func (codec) IsBinary() bool { return false }
