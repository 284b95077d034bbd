package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// inlineMark begins the comment of a string field that contains JSON.
const inlineMark = "JSON:"

// schemas holds the messages that the service uses.
type schemas struct {
	known *node
	seen  map[string]bool
}

// path describes one RPC.
func (d *schemas) path(service *protogen.Service, m *protogen.Method) (*node, error) {
	if m.Desc.IsStreamingClient() {
		return nil, fmt.Errorf("%s: streams of requests cannot be described", m.Desc.FullName())
	}
	if err := d.message(m.Input); err != nil {
		return nil, err
	}
	if err := d.message(m.Output); err != nil {
		return nil, err
	}
	media, answer := "application/json", "The answer."
	if m.Desc.IsStreamingServer() {
		media = "application/connect+json"
		answer = "A stream of messages, each with a byte of flags and its length in four bytes before it; the last one, with flag 2, says how the stream ended."
	}
	operation := func(suffix string) *node {
		return mapping().
			put("operationId", text(string(m.Desc.Name())+suffix)).
			put("tags", sequence(text(string(service.Desc.Name())))).
			put("description", text(prose(m.Comments.Leading)))
	}
	responses := mapping().
		put("200", mapping().put("description", text(answer)).put("content", content(media, m.Output))).
		put("default", mapping().put("description", text("It was refused.")).
			put("content", mapping().put("application/json", mapping().put("schema", reference("Error")))))
	path := mapping()
	if options, ok := m.Desc.Options().(*descriptorpb.MethodOptions); ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
		path.put("get", operation("ByGet").put("parameters", sequence(
			parameter("message", "The request as JSON.", mapping().put("type", text("string"))),
			parameter("encoding", "How message is written.", mapping().put("type", text("string")).put("enum", sequence(text("json")))),
		)).put("responses", responses))
	}
	path.put("post", operation("").
		put("requestBody", mapping().put("required", boolean(true)).put("content", content(media, m.Input))).
		put("responses", responses))
	return path, nil
}

func parameter(name, description string, schema *node) *node {
	return mapping().put("name", text(name)).put("in", text("query")).put("required", boolean(true)).
		put("description", text(description)).put("schema", schema)
}

func content(media string, m *protogen.Message) *node {
	return mapping().put(media, mapping().put("schema", reference(string(m.Desc.Name()))))
}

// message describes a message and the messages in its fields.
func (d *schemas) message(m *protogen.Message) error {
	name := string(m.Desc.Name())
	if d.seen[name] {
		return nil
	}
	d.seen[name] = true
	properties := mapping()
	for _, f := range m.Fields {
		s, err := d.field(f)
		if err != nil {
			return err
		}
		properties.put(f.Desc.JSONName(), s.put("description", text(prose(f.Comments.Leading))))
	}
	d.known.put(name, mapping().
		put("type", text("object")).
		put("description", text(prose(m.Comments.Leading))).
		put("properties", properties))
	return nil
}

func (d *schemas) field(f *protogen.Field) (*node, error) {
	if f.Desc.IsMap() || f.Oneof != nil || f.Enum != nil {
		return nil, fmt.Errorf("%s: maps, oneofs and enumerations are not described yet", f.Desc.FullName())
	}
	s, err := d.single(f)
	if err == nil && f.Desc.IsList() {
		s = mapping().put("type", text("array")).put("items", s)
	}
	return s, err
}

func (d *schemas) single(f *protogen.Field) (*node, error) {
	typed := func(name, format string) (*node, error) {
		return mapping().put("type", text(name)).put("format", text(format)), nil
	}
	switch f.Desc.Kind() {
	case protoreflect.StringKind:
		if strings.HasPrefix(prose(f.Comments.Leading), inlineMark) {
			return mapping(), nil // any JSON
		}
		return typed("string", "")
	case protoreflect.BoolKind:
		return typed("boolean", "")
	case protoreflect.BytesKind:
		return typed("string", "byte")
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint64Kind:
		return typed("integer", f.Desc.Kind().String())
	case protoreflect.DoubleKind:
		return typed("number", "double")
	case protoreflect.MessageKind:
		switch f.Message.Desc.FullName() {
		case "google.protobuf.Timestamp":
			return typed("string", "date-time")
		case "google.protobuf.Duration": // seconds with an s, such as 1.5s
			return mapping().put("type", text("string")).put("pattern", text(`^-?[0-9]+(\.[0-9]+)?s$`)), nil
		}
		return reference(string(f.Message.Desc.Name())), d.message(f.Message)
	}
	return nil, fmt.Errorf("%s: %s is not described yet", f.Desc.FullName(), f.Desc.Kind())
}

// extras describes errors and their details.
func (d *schemas) extras(f *protogen.File) error {
	for _, m := range f.Messages {
		if m.Desc.Name() == "Refusal" {
			if err := d.message(m); err != nil {
				return err
			}
		}
	}
	detail := mapping().put("type", text("object")).
		put("properties", mapping().
			put("type", mapping().put("type", text("string")).put("description", text("The message's name: amends.api.v1.Refusal."))).
			put("value", mapping().put("type", text("string")).put("description", text("The message as protobuf, in base64 without padding."))).
			put("debug", mapping().put("type", text("object")).put("description",
				text("For people: the message in the JSON mapping of protobuf, which differs from Refusal in that revision is a string. Programs decode value."))))
	d.known.put("Error", mapping().put("type", text("object")).
		put("description", text("Why a request was refused.")).
		put("properties", mapping().
			put("code", mapping().put("type", text("string")).put("description", text("invalid_argument, not_found, already_exists, failed_precondition, resource_exhausted, unavailable, internal or another code of Connect's."))).
			put("message", mapping().put("type", text("string")).put("description", text("What is wrong and what would be right."))).
			put("details", mapping().put("type", text("array")).put("items", detail))))
	return nil
}
