package cli

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// canary has one character of every kind that a terminal obeys or hides, and tries to
// write a line of its own.
const canary = "canary\a\x00\x1b[31m\x1b]0;title\x07\r\nforged: a line\n\tforged\x7f\u0085\u009b2J\u00ad\u061c\u200b\u200e\u200f\u202a\u202e\u2028\u2029\u2066\u2069\ufeff\U000e0041."

// noText is the same for what need not be UTF-8: bytes of C1, and a lone surrogate.
const noText = canary + "\x9b2J\xff\xed\xa0\x80\xe2\x80"

// strangers is a coordinator that has only heard of canaries: whatever it is asked, every
// string of its answer is one. A new request or field is included by itself.
type strangers struct {
	yes    bool   // of every bool
	fails  bool   // it answers errors
	source string // of definitions; "": a canary

	mu       sync.Mutex
	requests int
	asked    map[string]int
	sent     map[string]proto.Message // by method: the first answer
}

// ServeHTTP answers in the protocol of Connect.
func (s *strangers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	method := coordinatorService.Methods().ByName(protoreflect.Name(path.Base(r.URL.Path)))
	switch {
	case method == nil: // /readyz, /backup
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(noText))
		return
	case method.IsStreamingServer() && (s.fails || s.again(method)): // or else watch would watch on
		w.Header().Set("Content-Type", "application/connect+proto")
		end, _ := json.Marshal(map[string]any{"error": s.error()})
		_, _ = w.Write(envelope(2, end))
		return
	case s.fails:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(s.error())
		return
	}
	data, err := proto.Marshal(s.answer(method))
	if err != nil {
		panic(err)
	}
	if !method.IsStreamingServer() {
		w.Header().Set("Content-Type", "application/proto")
		_, _ = w.Write(data)
		return
	}
	w.Header().Set("Content-Type", "application/connect+proto")
	_, _ = w.Write(append(envelope(0, data), envelope(2, []byte("{}"))...))
}

var coordinatorService = apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService")

// again reports whether a method was asked before.
func (s *strangers) again(method protoreflect.MethodDescriptor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[string(method.Name())] > 0
}

// answer is what a method answers: the first time with a next page, and then without.
func (s *strangers) answer(method protoreflect.MethodDescriptor) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		panic(err)
	}
	m := kind.New()
	s.fill(m, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(method.Name())
	if next := m.Descriptor().Fields().ByName("next"); next != nil && s.asked[name] > 0 {
		m.Clear(next)
	}
	s.asked[name]++
	if s.sent[name] == nil {
		s.sent[name] = m.Interface()
	}
	return m.Interface()
}

func (s *strangers) error() map[string]any {
	refusal := &apiv1.Refusal{}
	s.fill(refusal.ProtoReflect(), 0)
	detail, err := anypb.New(refusal)
	if err != nil {
		panic(err)
	}
	return map[string]any{"code": "failed_precondition", "message": canary, "details": []any{map[string]any{"type": "amends.api.v1.Refusal", "value": detail.GetValue()}}}
}

// fill gives every field a value, at every depth: a canary, if it is a string.
func (s *strangers) fill(m protoreflect.Message, depth int) {
	switch known := m.Interface().(type) {
	case *timestamppb.Timestamp:
		proto.Merge(known, timestamppb.New(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		return
	case *durationpb.Duration:
		proto.Merge(known, durationpb.New(3*time.Second))
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Message() != nil && depth > 6, f.ContainingOneof() != nil && m.WhichOneof(f.ContainingOneof()) != nil:
		case f.IsMap():
			panic("a map: fill it as well")
		case f.IsList() && f.Message() != nil:
			s.fill(m.Mutable(f).List().AppendMutable().Message(), depth+1)
		case f.IsList():
			m.Mutable(f).List().Append(s.value(f))
		case f.Message() != nil:
			s.fill(m.Mutable(f).Message(), depth+1)
		default:
			m.Set(f, s.value(f))
		}
	}
}

func (s *strangers) value(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		if f.FullName() == "amends.api.v1.Definition.source" && s.source != "" {
			return protoreflect.ValueOfString(s.source)
		}
		return protoreflect.ValueOfString(canary)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(noText))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(s.yes)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(0.5)
	}
	panic("fill a field of kind " + f.Kind().String() + " as well")
}

// envelope is one message of a stream.
func envelope(flags byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(data))), data...)
}

// asJSON is a message as the API writes it, as plain data.
func asJSON(m proto.Message) (v any, err error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	return v, json.Unmarshal(data, &v)
}

// obeyed are the characters that must not reach a terminal, written down once more: what
// is in terminal.Escape is what is tested here.
func obeyed(r rune) bool {
	switch {
	case r == '\n':
		return false // where a line may end is looked at by itself
	case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0xad, r == 0x61c, r == 0x200b, r == 0x200e, r == 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff, r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}

// forged reports whether a stranger wrote a line of their own into the output.
func forged(output string) bool {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "forged") {
			return true
		}
	}
	return false
}
