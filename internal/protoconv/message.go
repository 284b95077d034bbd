package protoconv

import (
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// recursion bounds the nesting of a message. The deepest valid message is a definition at its
// limits: 16 levels of nodes and 32 levels of a schema, with two messages per level.
const recursion = 128

var (
	marshal   = proto.MarshalOptions{Deterministic: true}
	unmarshal = proto.UnmarshalOptions{RecursionLimit: recursion}
)

// ErrLater means that a record contains a field that this release does not know.
var ErrLater = errors.New("unknown field: the record is damaged or was written by a later release")

// Append appends the encoding of m to dst. The encoding is deterministic.
func Append(dst []byte, m proto.Message) ([]byte, error) {
	return marshal.MarshalAppend(dst, m)
}

// Unmarshal decodes data into m. It refuses unknown fields at any depth, because they would be lost
// when the record is written again. m shares no memory with data.
func Unmarshal(data []byte, m proto.Message) error {
	if err := unmarshal.Unmarshal(data, m); err != nil {
		return fmt.Errorf("not a valid %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return known(m.ProtoReflect())
}

// known returns ErrLater if m or a message inside it has unknown fields.
func known(m protoreflect.Message) error {
	if len(m.GetUnknown()) > 0 {
		return ErrLater
	}
	for _, f := range nested(m.Descriptor()) {
		if !m.Has(f) {
			continue
		}
		if err := knownField(f, m.Get(f)); err != nil {
			return err
		}
	}
	return nil
}

// knownField returns ErrLater if a message in the field has unknown fields.
func knownField(f protoreflect.FieldDescriptor, v protoreflect.Value) (err error) {
	switch {
	case f.IsMap():
		v.Map().Range(func(_ protoreflect.MapKey, value protoreflect.Value) bool {
			err = known(value.Message())
			return err == nil
		})
	case f.IsList():
		list := v.List()
		for i := 0; i < list.Len() && err == nil; i++ {
			err = known(list.Get(i).Message())
		}
	default:
		err = known(v.Message())
	}
	return err
}

// nestedFields caches the results of nested: protoreflect.MessageDescriptor to
// []protoreflect.FieldDescriptor. Most messages have no field that contains a message, and checking
// all fields of every message would take longer than decoding them.
var nestedFields sync.Map

// nested returns the fields of a message type that contain messages.
func nested(m protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	if found, ok := nestedFields.Load(m); ok {
		return found.([]protoreflect.FieldDescriptor) //nolint:errcheck // the map holds nothing else
	}
	var found []protoreflect.FieldDescriptor
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.IsMap() && f.MapValue().Message() != nil || !f.IsMap() && f.Message() != nil {
			found = append(found, f)
		}
	}
	nestedFields.Store(m, found)
	return found
}

// Bytes returns b, or nil if b is empty, because empty and absent data mean the same.
func Bytes(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
