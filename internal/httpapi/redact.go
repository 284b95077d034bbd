package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

const (
	// Redacted replaces the value of a redacted field.
	Redacted = transport.Redacted
	// maxRedactDepth is the maximum nesting depth of a payload that is shown with redacted fields
	// (I10).
	maxRedactDepth = 1000
	// withheld replaces a payload that cannot be searched for the fields.
	withheld = `"[redacted: fields are redacted here, and this is not JSON, or nested too deeply]"`
)

// redaction hides fields by name in the payloads of answers, and their values in reasons (see
// reason.go). Participants get the full payloads.
type redaction struct {
	names       map[string]bool
	coordinator Coordinator // for reading the payloads of sagas whose reasons are shown
}

// newRedaction returns a redaction of the named JSON fields; case does not matter.
func newRedaction(fields []string, c Coordinator) redaction {
	r := redaction{names: map[string]bool{}, coordinator: c}
	for _, f := range fields {
		r.names[strings.ToLower(f)] = true
	}
	return r
}

// WrapUnary redacts answers.
func (r redaction) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, request)
		if err == nil {
			r.message(ctx, request.Any(), response.Any())
		}
		return response, err
	}
}

// WrapStreamingClient implements connect.Interceptor; a server does not use it.
func (redaction) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler redacts the messages of a stream.
func (r redaction) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return next(ctx, redactedConn{StreamingHandlerConn: conn, ctx: ctx, redaction: r})
	}
}

type redactedConn struct {
	connect.StreamingHandlerConn

	ctx       context.Context //nolint:containedctx // of the stream, whose interface has none
	redaction redaction
}

// Send redacts a message and sends it.
func (c redactedConn) Send(message any) error {
	c.redaction.message(c.ctx, nil, message)
	return c.StreamingHandlerConn.Send(message)
}

// message redacts an answer; request is nil for a stream. It redacts reasons before payloads,
// because the payloads hold the values to search for.
func (r redaction) message(ctx context.Context, request, message any) {
	if m, ok := message.(proto.Message); ok {
		r.reasons(ctx, request, m)
		r.walk(m.ProtoReflect())
	}
}

// walk redacts the payloads in an answer.
func (r redaction) walk(m protoreflect.Message) {
	switch v := m.Interface().(type) {
	case *apiv1.Payload:
		r.payload(v)
		return
	case *apiv1.Step:
		if opaque(v.Result) {
			v.Result.Json = withheld
		}
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range value.List().Len() {
				r.walk(value.List().Get(i).Message())
			}
		default:
			r.walk(value.Message())
		}
		return true
	})
}

// opaque reports whether a step's result is a JSON string. Such a result cannot be searched for
// fields, because a result that is not JSON is also stored as a JSON string.
func opaque(result *apiv1.Payload) bool {
	return strings.HasPrefix(strings.TrimSpace(result.GetJson()), `"`)
}

func (r redaction) payload(p *apiv1.Payload) {
	if len(p.Binary) > 0 {
		p.Binary, p.Json = nil, withheld
		return
	}
	if p.Json == "" {
		return
	}
	text, err := r.json([]byte(p.Json))
	if err != nil {
		p.Json = withheld
		return
	}
	p.Json = string(text)
}

// json copies a JSON text and replaces the values of the redacted fields. All other bytes stay
// unchanged.
func (r redaction) json(text []byte) ([]byte, error) {
	c := copier{names: r.names, text: text, from: json.NewDecoder(bytes.NewReader(text))}
	c.from.UseNumber()
	if err := c.value(0); err != nil {
		return nil, err
	}
	if _, err := c.from.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("unexpected text after the JSON value")
	}
	return append(c.out, text[c.done:]...), nil
}

// copier reads a JSON text and copies what may be shown.
type copier struct {
	names map[string]bool
	text  []byte
	from  *json.Decoder
	out   []byte
	done  int // number of bytes of text that were copied or replaced
}

func (c *copier) value(depth int) error {
	if depth > maxRedactDepth {
		return errors.New("nested too deeply")
	}
	token, err := c.from.Token()
	if err != nil {
		return err
	}
	open, composed := token.(json.Delim)
	if !composed {
		return nil
	}
	for c.from.More() {
		if open == '{' {
			key, err := c.from.Token()
			if err != nil {
				return err
			}
			if name, _ := key.(string); c.names[strings.ToLower(name)] {
				if err := c.replace(); err != nil {
					return err
				}
				continue
			}
		}
		if err := c.value(depth + 1); err != nil {
			return err
		}
	}
	_, err = c.from.Token() // its closing delimiter
	return err
}

// replace skips a value and writes its replacement.
func (c *copier) replace() error {
	var value json.RawMessage
	if err := c.from.Decode(&value); err != nil {
		return err
	}
	end := int(c.from.InputOffset())
	c.out = append(append(c.out, c.text[c.done:end-len(value)]...), '"')
	c.out = append(append(c.out, Redacted...), '"')
	c.done = end
	return nil
}
