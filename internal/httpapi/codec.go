package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// codec encodes JSON with the field names of the proto file. It is strict: an unknown field is an
// error.
type codec struct{}

var _ connect.Codec = codec{}

// Name implements connect.Codec.
func (codec) Name() string { return "json" }

// Marshal implements connect.Codec.
func (codec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", message)
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
}

// Unmarshal implements connect.Codec. Empty data is an empty message.
func (codec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", message)
	}
	if len(data) == 0 {
		return fmt.Errorf("the body is empty; send JSON, {} for a request without fields")
	}
	if err := protojson.Unmarshal(data, m); err != nil {
		return explain(err, m.ProtoReflect().Descriptor())
	}
	if _, many := m.(*apiv1.OperateAllRequest); many {
		return emptyFields(data)
	}
	return nil
}

// emptyFields refuses fields of a bulk operation's filter that are present but empty, for example
// from an unset variable. The decoded message does not distinguish them from absent fields, so the
// operation would match more sagas.
func emptyFields(data []byte) error {
	var request struct{ Filter map[string]json.RawMessage }
	if err := json.Unmarshal(data, &request); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(request.Filter)) {
		var value bytes.Buffer
		if err := json.Compact(&value, request.Filter[name]); err != nil {
			return err
		}
		if text := value.String(); text == "[]" || text == `""` {
			return fmt.Errorf("filter.%s is given and empty, which does not filter; give a value, or leave it out", name)
		}
	}
	return nil
}

// MarshalStable implements Connect's interface for stable codecs, which GET requests need.
func (c codec) MarshalStable(message any) ([]byte, error) { return c.Marshal(message) }

// IsBinary implements Connect's interface for stable codecs.
func (codec) IsBinary() bool { return false }

var unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)

// quoted matches the values that protojson quotes in its errors, which could reveal a saga's input.
var quoted = regexp.MustCompile(`(?s)(invalid value for \w+ field \w+|invalid value|unexpected token|duplicate map key|` +
	`invalid google\.protobuf\.\w+ value|google\.protobuf\.\w+ value out of range|invalid character|invalid escape code|unexpected character)[ :].*`)

// explain describes an error in JSON without quoting values. For an unknown field it lists the
// existing fields.
func explain(err error, d protoreflect.MessageDescriptor) error {
	text := strings.TrimSpace(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto:"))
	text = quoted.ReplaceAllString(text, "$1")
	if unknownField.MatchString(text) {
		text += "; there are " + strings.Join(fields(d, "", 2), ", ")
	}
	return fmt.Errorf("%s", text)
}

// fields lists the field names of a message and, down to a depth, those of nested messages.
func fields(d protoreflect.MessageDescriptor, prefix string, depth int) []string {
	var names []string
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		names = append(names, prefix+string(f.Name()))
		if below := f.Message(); below != nil && depth > 1 && strings.HasPrefix(string(below.FullName()), "amends.") {
			names = append(names, fields(below, prefix+string(f.Name())+".", depth-1)...)
		}
	}
	return slices.Clip(names)
}
