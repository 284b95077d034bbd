package canary

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/apipb"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// Coordinator answers every request of the API, in Connect's protocol. Every string of an answer is
// Text, at every depth; in fields that contain JSON, Text is encoded as a JSON string. New requests
// and fields are covered automatically. Requests outside the API are refused with Bytes.
type Coordinator struct {
	Yes    bool   // value of every bool
	Fails  bool   // whether every answer is an error
	Source string // source of definitions, which is JSON; default Text as a JSON string
	Key    string // key of orphans; default Text
	Text   string // value of every other string; default Text

	mu       sync.Mutex
	requests int
	asked    map[string]int           // number of calls of each method
	sent     map[string]proto.Message // the first answer, by method
}

// Forget resets the counts and the recorded answers.
func (c *Coordinator) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.asked, c.sent = 0, map[string]int{}, map[string]proto.Message{}
}

// Requests returns the number of requests.
func (c *Coordinator) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Sent returns the first answer of a method such as List, or nil if the method was not called.
func (c *Coordinator) Sent(method string) proto.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[method]
}

var methods = apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService").Methods()

// codec encodes answers in the format of the request.
type codec struct {
	content string // media type of the answer
	marshal func(proto.Message) ([]byte, error)
}

func codecOf(r *http.Request) codec {
	as := r.Header.Get("Content-Type")
	if strings.HasSuffix(as, "json") {
		return codec{as, apipb.EncodeJSON}
	}
	return codec{as, proto.Marshal}
}

// ServeHTTP implements http.Handler.
func (c *Coordinator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := methods.ByName(protoreflect.Name(path.Base(r.URL.Path)))
	before := c.count(method)
	as := codecOf(r)
	switch {
	case method == nil:
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(Bytes))
	case method.IsStreamingServer() && (c.Fails || before > 0): // end the stream, or a client would watch forever
		w.Header().Set("Content-Type", as.content)
		_, _ = w.Write(envelope(2, must(json.Marshal(map[string]any{"error": c.refusal()}))))
	case c.Fails:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(must(json.Marshal(c.refusal())))
	case method.IsStreamingServer():
		w.Header().Set("Content-Type", as.content)
		_, _ = w.Write(append(envelope(0, must(as.marshal(c.answer(method, before)))), envelope(2, []byte("{}"))...))
	default:
		w.Header().Set("Content-Type", as.content)
		_, _ = w.Write(must(as.marshal(c.answer(method, before))))
	}
}

// must panics on errors that cannot happen.
func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// count counts a request, and returns the number of earlier requests of the method.
func (c *Coordinator) count(method protoreflect.MethodDescriptor) (before int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	if method == nil {
		return 0
	}
	if c.asked == nil {
		c.asked, c.sent = map[string]int{}, map[string]proto.Message{}
	}
	before = c.asked[string(method.Name())]
	c.asked[string(method.Name())]++
	return before
}

// answer returns the answer of a method. Only the first answer has a next page.
func (c *Coordinator) answer(method protoreflect.MethodDescriptor, before int) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		panic(err) // cannot happen: the type is generated
	}
	m := kind.New()
	c.Fill(m)
	fields := m.Descriptor().Fields()
	for _, name := range []protoreflect.Name{"next_cursor", "next_revision"} {
		if next := fields.ByName(name); next != nil && before > 0 {
			m.Clear(next)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent[string(method.Name())] == nil {
		c.sent[string(method.Name())] = m.Interface()
	}
	return m.Interface()
}

// refusal returns an error with its detail.
func (c *Coordinator) refusal() map[string]any {
	detail := &apiv1.Refusal{}
	c.Fill(detail.ProtoReflect())
	return map[string]any{
		"code": "failed_precondition", "message": Text,
		"details": []any{map[string]any{"type": "amends.api.v1.Refusal", "value": must(proto.Marshal(detail))}},
	}
}

// Fill gives every field of m a value, at every depth.
func (c *Coordinator) Fill(m protoreflect.Message) { c.fill(m, 0) }

func (c *Coordinator) fill(m protoreflect.Message, depth int) {
	switch known := m.Interface().(type) {
	case *timestamppb.Timestamp:
		proto.Merge(known, timestamppb.New(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		return
	case *durationpb.Duration:
		proto.Merge(known, durationpb.New(3*time.Second))
		return
	}
	const deepest = 6 // limits the recursion, because an event contains a saga
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Message() != nil && depth > deepest, f.ContainingOneof() != nil && m.WhichOneof(f.ContainingOneof()) != nil:
		case f.IsMap():
			panic("canary: no message has a map yet; fill " + string(f.FullName()) + " as well")
		case f.IsList() && f.Message() != nil:
			c.fill(m.Mutable(f).List().AppendMutable().Message(), depth+1)
		case f.IsList():
			m.Mutable(f).List().Append(c.value(f))
		case f.Message() != nil:
			c.fill(m.Mutable(f).Message(), depth+1)
		default:
			m.Set(f, c.value(f))
		}
	}
}

func (c *Coordinator) value(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		text := cmp.Or(c.Text, Text)
		own := map[protoreflect.FullName]string{"amends.api.v1.Definition.canonical": cmp.Or(c.Source, quoted(text)), "amends.api.v1.Orphan.key": c.Key}
		for _, inline := range []protoreflect.FullName{"Payload.json", "StartRequest.input", "RunRequest.input", "Decision.result"} {
			own["amends.api.v1."+inline] = quoted(text)
		}
		return protoreflect.ValueOfString(cmp.Or(own[f.FullName()], text))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(Bytes))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(c.Yes)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(0.5)
	}
	panic("canary: fill a field of kind " + f.Kind().String() + " as well")
}

// quoted returns text as a JSON string, for the fields that contain JSON. It escapes no more than it
// must.
func quoted(text string) string {
	return string(must(contract.EncodeJSON(text)))
}

// envelope encodes one message of a stream.
func envelope(flags byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(data))), data...)
}
