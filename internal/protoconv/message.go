package protoconv

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// recursion bounds how deep a message may be nested. The deepest that is ours is
// a definition at its limits: 16 levels of nodes and 32 of a schema, each of two
// messages.
const recursion = 128

var (
	marshal   = proto.MarshalOptions{Deterministic: true}
	unmarshal = proto.UnmarshalOptions{RecursionLimit: recursion}
)

// ErrLater says that a record holds a field which this release does not know.
var ErrLater = errors.New("the record has a field that is not known: it is damaged or was written by a later release")

// Append appends the bytes of m to dst: the same bytes for the same message.
func Append(dst []byte, m proto.Message) ([]byte, error) {
	return marshal.MarshalAppend(dst, m)
}

// Unmarshal reads m. It refuses fields that m does not have, at any depth,
// because they would be lost when the record is written again. m keeps nothing
// of data.
func Unmarshal(data []byte, m proto.Message) error {
	if err := unmarshal.Unmarshal(data, m); err != nil {
		return fmt.Errorf("not a %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return known(m.ProtoReflect())
}

// known returns ErrLater if m or a message inside it has unknown fields.
func known(m protoreflect.Message) error {
	if len(m.GetUnknown()) > 0 {
		return ErrLater
	}
	var err error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, value protoreflect.Value) bool {
					err = known(value.Message())
					return err == nil
				})
			}
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = known(v.List().Get(i).Message())
			}
		default:
			err = known(v.Message())
		}
		return err == nil
	})
	return err
}

// Bytes is b, or nil if b is empty: empty and absent data mean the same.
func Bytes(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
