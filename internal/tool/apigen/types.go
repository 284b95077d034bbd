package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	apiPackage      = protogen.GoImportPath("github.com/amends-dev/amends/api")
	contractPackage = protogen.GoImportPath("github.com/amends-dev/amends/contract")
	pbPackage       = protogen.GoImportPath("github.com/amends-dev/amends/internal/apipb")
)

// words lists the Go types of string fields with a closed set of values or a syntax of their own. A
// key is "Message.field", or "field" for all messages.
var words = map[string]protogen.GoIdent{
	"id":        contractPackage.Ident("SagaID"),
	"ids":       contractPackage.Ident("SagaID"),
	"phase":     contractPackage.Ident("Phase"),
	"phases":    contractPackage.Ident("Phase"),
	"operation": contractPackage.Ident("Operation"),
	"outcome":   contractPackage.Ident("Outcome"),
	"direction": contractPackage.Ident("Direction"),
	"timer":     contractPackage.Ident("Timer"),
	"step":      contractPackage.Ident("StepName"),
	"birth":     contractPackage.Ident("Birth"),

	"Wave.steps":      contractPackage.Ident("StepName"),
	"Step.name":       contractPackage.Ident("StepName"),
	"Step.kind":       contractPackage.Ident("Kind"),
	"Step.status":     contractPackage.Ident("StepStatus"),
	"Orphan.status":   contractPackage.Ident("StepStatus"),
	"Orphan.kind":     apiPackage.Ident("OrphanKind"),
	"Event.type":      contractPackage.Ident("EventType"),
	"Standstill.kind": apiPackage.Ident("StandstillKind"),
}

// external lists the messages whose Go type is in package contract. They are struct values.
var external = map[string]protogen.GoIdent{
	"DefinitionRef":  contractPackage.Ident("DefinitionRef"),
	"LegalOperation": contractPackage.Ident("LegalOperation"),
}

// embedded lists the messages that are struct values, not pointers, in other messages.
var embedded = map[string]bool{"DefinitionRef": true, "LegalOperation": true, "Filter": true, "Decision": true}

// nullable is the message whose times are pointers, because in it a zero time is an error, but a
// missing time is not.
const nullable = "Filter"

// inlineMark begins the comment of a string field that contains JSON.
const inlineMark = "JSON:"

// kind is how a field is represented and converted.
type kind int

const (
	plain    kind = iota // the same type in Go and in the message
	word                 // a string type
	birth                // contract.Birth
	number               // int
	inline               // json.RawMessage
	moment               // time.Time
	optional             // *time.Time
	duration             // *api.Duration
	message
)

// field is a field of a message.
type field struct {
	*protogen.Field

	kind  kind
	ident protogen.GoIdent // Go type of a word or a message
	basic string           // Go type of a plain field
}

func fieldOf(f *protogen.Field) (field, error) {
	d := f.Desc
	out := field{Field: f}
	switch {
	case d.IsMap():
		return out, fmt.Errorf("%s: maps are not supported; use a repeated message", d.FullName())
	case f.Message != nil:
		out.message()
	case d.Kind() == protoreflect.StringKind:
		out.text()
	case d.Kind() == protoreflect.BytesKind:
		out.basic = "[]byte"
	case d.Kind() == protoreflect.Int64Kind: // not int32, to which an int does not always convert
		out.kind, out.basic = number, "int"
	case d.Kind() == protoreflect.Uint64Kind:
		out.basic = "uint64"
	case d.Kind() == protoreflect.DoubleKind:
		out.basic = "float64"
	case d.Kind() == protoreflect.BoolKind:
		out.basic = "bool"
	default:
		return out, fmt.Errorf("%s: fields of type %s are not supported", d.FullName(), d.Kind())
	}
	if d.IsList() && out.kind != plain && out.kind != word && out.kind != message {
		return out, fmt.Errorf("%s: lists of this type are not supported", d.FullName())
	}
	return out, nil
}

func (f *field) message() {
	name := string(f.Message.Desc.Name())
	switch f.Message.Desc.FullName() {
	case "google.protobuf.Timestamp":
		if f.kind = moment; f.Parent.Desc.Name() == nullable {
			f.kind = optional
		}
	case "google.protobuf.Duration":
		f.kind = duration
	default:
		f.kind, f.ident = message, goType(name)
	}
}

func (f *field) text() {
	name := string(f.Desc.Name())
	ident, known := words[string(f.Parent.Desc.Name())+"."+name]
	if !known {
		ident, known = words[name]
	}
	switch {
	case strings.HasPrefix(strings.TrimSpace(string(f.Comments.Leading)), inlineMark):
		f.kind = inline
	case known && ident.GoName == "Birth":
		f.kind, f.ident = birth, ident
	case known:
		f.kind, f.ident = word, ident
	default:
		f.basic = "string"
	}
}

// goType returns the Go type of a message.
func goType(name string) protogen.GoIdent {
	if ident, ok := external[name]; ok {
		return ident
	}
	return apiPackage.Ident(name)
}

// value reports whether the field is a struct value.
func (f *field) value() bool { return embedded[string(f.Message.Desc.Name())] }

// jsonTag returns the content of the field's json tag.
func (f *field) jsonTag() string {
	omit := "omitempty"
	if !f.Desc.IsList() && (f.kind == moment || f.kind == birth || f.kind == message && f.value()) {
		omit = "omitzero"
	}
	return f.Desc.JSONName() + "," + omit
}

// initialisms are the words of field names that are upper case in Go.
var initialisms = map[string]string{"id": "ID", "ids": "IDs", "json": "JSON", "nats": "NATS"}

// goName returns the field's name in package api.
func (f *field) goName() string {
	var name strings.Builder
	for part := range strings.SplitSeq(string(f.Desc.Name()), "_") {
		if upper, ok := initialisms[part]; ok {
			name.WriteString(upper)
		} else {
			name.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return name.String()
}
