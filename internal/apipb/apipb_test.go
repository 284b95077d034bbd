package apipb_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/internal/apipb"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// messages returns an empty message of each type of the API.
func messages(t *testing.T) (all []proto.Message) {
	t.Helper()
	types := apiv1.File_amends_api_v1_api_proto.Messages()
	for i := range types.Len() {
		m, err := protoregistry.GlobalTypes.FindMessageByName(types.Get(i).FullName())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.New().Interface())
	}
	return all
}

// inline lists the fields that contain JSON.
var inline = map[protoreflect.FullName]bool{
	"amends.api.v1.Payload.json": true, "amends.api.v1.StartRequest.input": true, "amends.api.v1.RunRequest.input": true,
	"amends.api.v1.Decision.result": true, "amends.api.v1.Definition.canonical": true,
}

// fill sets each field of a message with a probability of one half.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if depth == 0 && f.Message() != nil || rapid.Bool().Draw(t, "absent") {
			continue
		}
		if !f.IsList() {
			if v, ok := value(t, m.NewField(f), f, depth); ok {
				m.Set(f, v)
			}
			continue
		}
		list := m.Mutable(f).List()
		for range rapid.IntRange(0, 2).Draw(t, "items") {
			if v, ok := value(t, list.NewElement(), f, depth); ok {
				list.Append(v)
			}
		}
	}
}

func value(t *rapid.T, empty protoreflect.Value, f protoreflect.FieldDescriptor, depth int) (v protoreflect.Value, ok bool) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		switch f.Message().FullName() {
		case "google.protobuf.Timestamp":
			at := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
			return protoreflect.ValueOfMessage(timestamppb.New(at).ProtoReflect()), true
		case "google.protobuf.Duration":
			d := time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "duration"))
			return protoreflect.ValueOfMessage(durationpb.New(d).ProtoReflect()), true
		}
		fill(t, empty.Message(), depth-1)
		return empty, true
	case protoreflect.StringKind:
		switch {
		case inline[f.FullName()]:
			return protoreflect.ValueOfString(rapid.SampledFrom([]string{`{"a":12345678901234567890,"b":[1.50,null]}`, `"<&>"`, `0`, `[]`}).Draw(t, "json")), true
		case f.Name() == "birth":
			return protoreflect.ValueOfString("hod85snpc0"), true
		}
		return protoreflect.ValueOfString(rapid.StringN(1, 5, -1).Draw(t, "text")), true
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 1, 5).Draw(t, "bytes")), true
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true), true
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "number")), true
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "number")), true
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64Range(0, 1<<53).Draw(t, "number")), true
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.Float64Range(-1e6, 1e6).Draw(t, "number") + 0), true // never -0
	default:
		return v, false
	}
}

// normal returns a message without what JSON does not distinguish: an empty DefinitionRef, Filter or
// Decision from an absent one.
func normal(m proto.Message) proto.Message {
	out := apipb.Message(apipb.Value(m))
	if !out.ProtoReflect().IsValid() {
		return m.ProtoReflect().New().Interface()
	}
	return out
}

// TestRoundTrip checks for every message type that a message keeps its content when it is converted
// to its Go type and back, and when it is written as JSON and read again.
func TestRoundTrip(t *testing.T) {
	for _, empty := range messages(t) {
		t.Run(string(empty.ProtoReflect().Descriptor().Name()), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := empty.ProtoReflect().New()
				fill(t, m, 3)
				want := m.Interface()
				back := normal(want)
				if size, full := proto.Size(back), proto.Size(want); size > full {
					t.Fatalf("%v becomes %v", want, back)
				}
				if diff := lost(m, back.ProtoReflect(), ""); diff != "" {
					t.Fatalf("%v loses %s: %v", want, diff, back)
				}
				data, err := apipb.EncodeJSON(back)
				if err != nil {
					t.Fatal(err)
				}
				again := empty.ProtoReflect().New().Interface()
				if err := apipb.DecodeJSON(data, again); err != nil && !strings.Contains(err.Error(), "does not filter") {
					t.Fatalf("%s: %v", data, err)
				} else if err == nil && !proto.Equal(again, back) {
					t.Fatalf("%s is read as %v, want %v", data, again, back)
				}
			})
		})
	}
}

// lost returns the path of the first field that is in one message and not in the other.
func lost(from, to protoreflect.Message, path string) (field string) {
	from.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := path + string(f.Name())
		switch {
		case f.Message() != nil && !f.IsList():
			if embedded[f.Message().Name()] && !isSet(v.Message()) {
				return true
			}
			if !to.Has(f) {
				field = name
			} else {
				field = lost(v.Message(), to.Get(f).Message(), name+".")
			}
		case f.IsList():
			if v.List().Len() != to.Get(f).List().Len() {
				field = name
			}
		case !v.Equal(to.Get(f)):
			field = name
		}
		return field == ""
	})
	return field
}

// embedded lists the messages whose absence is their zero value.
var embedded = map[protoreflect.Name]bool{"DefinitionRef": true, "Filter": true, "Decision": true}

// isSet reports whether any field of a message is set.
func isSet(m protoreflect.Message) (set bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		set = f.Message() == nil || f.IsList() || !embedded[f.Message().Name()] || isSet(v.Message())
		return !set
	})
	return set
}

// TestNamesAreTheContract checks that each Go type has the fields of its message, with the JSON
// names of the contract.
func TestNamesAreTheContract(t *testing.T) {
	for _, m := range messages(t) {
		fields := m.ProtoReflect().Descriptor().Fields()
		of := reflect.TypeOf(apipb.Value(m)).Elem()
		if of.NumField() != fields.Len() {
			t.Errorf("%s has %d fields, its message %d", of, of.NumField(), fields.Len())
			continue
		}
		for i := range fields.Len() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if name != fields.Get(i).JSONName() {
				t.Errorf("%s.%s is %q in JSON, want %q", of, of.Field(i).Name, name, fields.Get(i).JSONName())
			}
		}
	}
}

// TestCheckNamesTheField checks that a request with an invalid value, or with a field of a newer
// contract, is refused by the path of the field.
func TestCheckNamesTheField(t *testing.T) {
	newer := &apiv1.DefinitionRef{Name: "checkout"}
	newer.ProtoReflect().SetUnknown(protoreflect.RawFields{0x98, 0x06, 0x01}) // field 99
	for want, m := range map[string]proto.Message{
		"filter.startedAfter": &apiv1.ListRequest{Filter: &apiv1.Filter{StartedAfter: &timestamppb.Timestamp{Seconds: 1 << 60}}},
		"timeout":             &apiv1.WaitRequest{Timeout: &durationpb.Duration{Seconds: 1 << 60}},
		"olderThan":           &apiv1.PurgeDeadLettersRequest{OlderThan: &durationpb.Duration{Seconds: 1, Nanos: -1}},
		"filter.definition":   &apiv1.CountRequest{Filter: &apiv1.Filter{Definition: newer}},
	} {
		if field, problem := apipb.Check(m); field != want || problem == "" {
			t.Errorf("%v: %q %s, want %s", m, field, problem, want)
		}
	}
	if field, problem := apipb.Check(&apiv1.WaitRequest{Id: "a", Timeout: durationpb.New(time.Second)}); problem != "" {
		t.Errorf("a valid request: %s %s", field, problem)
	}
}

// TestTextIsMadeValid checks that text that is not UTF-8 does not prevent a message from being
// written.
func TestTextIsMadeValid(t *testing.T) {
	m := &apiv1.Saga{Id: "a", Reason: "caf\xe9"}
	out := apipb.Message(apipb.Value(m))
	data, err := proto.Marshal(out)
	if err != nil || !strings.Contains(fmt.Sprint(out), "caf\uFFFD") || len(data) == 0 {
		t.Errorf("%v, %v", out, err)
	}
	if text, err := apipb.EncodeJSON(m); err != nil || !json.Valid(text) {
		t.Errorf("%s, %v", text, err)
	}
}
