package apipb

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/strictjson"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// EncodeJSON encodes a message as JSON.
func EncodeJSON(m proto.Message) ([]byte, error) {
	v := Value(m)
	if v == nil {
		return nil, fmt.Errorf("%s has no JSON", m.ProtoReflect().Descriptor().FullName())
	}
	return contract.EncodeJSON(v)
}

// DecodeJSON decodes JSON into a message. It is strict; see package strictjson.
func DecodeJSON(data []byte, m proto.Message) error {
	v := Value(m)
	if v == nil {
		return fmt.Errorf("%s has no JSON", m.ProtoReflect().Descriptor().FullName())
	}
	if err := strictjson.Decode(data, v); err != nil {
		return err
	}
	proto.Reset(m)
	proto.Merge(m, Message(v))
	return nil
}

// Check returns an error for the first field of a request that has no valid value, or that this
// program does not know. field is its path; "" means the message itself.
func Check(m proto.Message) (field, problem string) { return check(m.ProtoReflect(), "") }

func check(m protoreflect.Message, path string) (field, problem string) {
	switch v := m.Interface().(type) {
	case *timestamppb.Timestamp:
		if v.CheckValid() != nil {
			return path, "is not a time between the years 1 and 9999; give one, or leave it out"
		}
	case *durationpb.Duration:
		if v.CheckValid() != nil || max(v.AsDuration(), -v.AsDuration()) >= api.MaxDuration {
			return path, `is not a valid duration; give one such as "30s", or leave it out`
		}
	}
	if f, ok := m.Interface().(*apiv1.Filter); ok && f.Definition != nil && f.Definition.Name == "" {
		return path + ".definition.name", "is missing, so the definition does not filter; give its name, or leave the definition out"
	}
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)
		return path, fmt.Sprintf("has a field %d that this coordinator does not know; leave it out, or use a newer coordinator", number)
	}
	m.Range(func(f protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if f.Message() == nil || f.IsMap() {
			return true
		}
		name := f.JSONName()
		if path != "" {
			name = path + "." + name
		}
		if !f.IsList() {
			field, problem = check(value.Message(), name)
			return problem == ""
		}
		for i := range value.List().Len() {
			if field, problem = check(value.List().Get(i).Message(), fmt.Sprintf("%s[%d]", name, i)); problem != "" {
				return false
			}
		}
		return true
	})
	return field, problem
}

func isZero[T any](v *T) bool { return reflect.ValueOf(v).Elem().IsZero() }

func orZero[T any](v *T) (zero T) {
	if v == nil {
		return zero
	}
	return *v
}

// valid returns text as UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func texts[T ~string](in []T) []string {
	var out []string
	for _, one := range in {
		out = append(out, valid(string(one)))
	}
	return out
}

func words[T ~string](in []string) []T {
	var out []T
	for _, one := range in {
		out = append(out, T(one))
	}
	return out
}

// each converts values to messages.
func each[V, M any](in []V, to func(*V) *M) []*M {
	var out []*M
	for i := range in {
		m := to(&in[i])
		if m == nil { // a zero value
			m = new(M)
		}
		out = append(out, m)
	}
	return out
}

// values converts messages to values.
func values[M, V any](in []*M, from func(*M) *V) []V {
	var out []V
	for _, one := range in {
		out = append(out, orZero(from(one)))
	}
	return out
}

func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

func birthTo(b contract.Birth) string {
	if b == 0 {
		return ""
	}
	return b.String()
}

// birthFrom returns 0 for a text that is not a birth; only responses have one.
func birthFrom(text string) contract.Birth {
	b, err := contract.ParseBirth(text)
	if err != nil {
		return 0
	}
	return b
}

func momentTo(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func momentFrom(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func optionalTo(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

func optionalFrom(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

func durationTo(d *api.Duration) *durationpb.Duration {
	if d == nil {
		return nil
	}
	return durationpb.New(time.Duration(*d))
}

func durationFrom(d *durationpb.Duration) *api.Duration {
	if d == nil {
		return nil
	}
	return api.For(d.AsDuration())
}
