package api

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
	// Redacted stands where a redacted field's value was.
	Redacted = transport.Redacted
	// maxRedactDepth bounds how deep a payload may be nested to be shown with fields
	// redacted (I10).
	maxRedactDepth = 1000
	// withheld stands for what cannot be searched for the fields.
	withheld = `"[redacted: fields are redacted here, and this is not JSON, or nested too deeply]"`
)

// redaction hides fields by their names, wherever they stand in a payload that is
// answered, and their values in the reasons beside it (reason.go). What participants get
// does not come this way.
type redaction struct {
	names       map[string]bool
	coordinator Coordinator // knows what an answer that has a reason does not say
}

// newRedaction takes names of JSON fields; upper and lower case are the same.
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

// WrapStreamingClient is not needed by a server.
func (redaction) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler redacts what a stream sends.
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

// Send sends a message without the fields.
func (c redactedConn) Send(message any) error {
	c.redaction.message(c.ctx, nil, message)
	return c.StreamingHandlerConn.Send(message)
}

// message redacts an answer to a request; nil: of a stream. Reasons come first: what they
// must not hold stands in the payloads.
func (r redaction) message(ctx context.Context, request, message any) {
	if m, ok := message.(proto.Message); ok {
		r.reasons(ctx, request, m)
		r.walk(m.ProtoReflect())
	}
}

// walk finds the payloads in an answer.
func (r redaction) walk(m protoreflect.Message) {
	if p, ok := m.Interface().(*apiv1.Payload); ok {
		r.payload(p)
		return
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

func (r redaction) payload(p *apiv1.Payload) {
	if len(p.Binary) > 0 {
		p.Binary, p.Text = nil, withheld
		return
	}
	if p.Text == "" {
		return
	}
	text, err := r.json([]byte(p.Text))
	if err != nil {
		p.Text = withheld
		return
	}
	p.Text = string(text)
}

// json copies a JSON text with the values of the fields replaced; all else stays as
// it was written.
func (r redaction) json(text []byte) ([]byte, error) {
	c := copier{names: r.names, text: text, from: json.NewDecoder(bytes.NewReader(text))}
	c.from.UseNumber()
	if err := c.value(0); err != nil {
		return nil, err
	}
	if _, err := c.from.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the value")
	}
	return append(c.out, text[c.done:]...), nil
}

// copier reads a JSON text and copies what may be shown.
type copier struct {
	names map[string]bool
	text  []byte
	from  *json.Decoder
	out   []byte
	done  int // how much of text is copied or replaced
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
	_, err = c.from.Token() // its end
	return err
}

// replace passes over a value.
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
