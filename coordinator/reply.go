package coordinator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// strict decodes JSON and refuses unknown fields; otherwise a misspelt field would silently have no
// effect.
func strict(data []byte, v any) error {
	if len(data) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &badRequest{why: "the request's data: " + plainly(err)}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &badRequest{why: "the request's data: something follows the JSON"}
	}
	if err := contract.CheckJSONDepth(data, contract.MaxDepth); err != nil {
		return &badRequest{why: "the request's data: " + err.Error()}
	}
	if name := misspelt(data, reflect.TypeOf(v)); name != "" {
		return &badRequest{why: fmt.Sprintf("the request's data: unknown field %q; names are written in lower case", brief(name))}
	}
	return nil
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// misspelt returns a name in the JSON that differs from a field of t only in case. encoding/json
// accepts such names, so a field could be given twice.
func misspelt(data []byte, t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler) {
		return ""
	}
	switch t.Kind() {
	case reflect.Struct:
		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members) != nil {
			return ""
		}
		fields := map[string]reflect.Type{}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields[cmp.Or(name, f.Name)] = f.Type
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			field, ok := fields[name]
			if !ok {
				return name
			}
			if within := misspelt(members[name], field); within != "" {
				return within
			}
		}
	case reflect.Slice:
		if of := t.Elem(); of.Kind() == reflect.Struct || of.Kind() == reflect.Pointer {
			var items []json.RawMessage
			_ = json.Unmarshal(data, &items)
			for _, item := range items {
				if within := misspelt(item, of); within != "" {
					return within
				}
			}
		}
	}
	return ""
}

// emptyFields adds the fields of a filter that are present but empty, for example from an unset
// variable. An empty field does not filter, so a decision would affect more sagas than intended.
func (v *violations) emptyFields(filter []byte, others ...string) {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(filter, &members) // valid, because it was decoded before
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if string(members[name]) == `""` && !slices.Contains(others, name) {
			v.add(name, "is given and empty, which does not filter; give a value, or leave it out")
		}
	}
}

// plainly describes a JSON error without Go terms.
func plainly(err error) string {
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped) && mistyped.Field == "":
		return "is a JSON " + kindOf(mistyped) + "; write an object"
	case errors.As(err, &mistyped):
		return fmt.Sprintf("field %s is a JSON %s; write %s", mistyped.Field, kindOf(mistyped), wanted(mistyped.Type.Kind()))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "ends in the middle of the JSON"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// kindOf returns the kind of a JSON value, without the number that encoding/json appends.
func kindOf(e *json.UnmarshalTypeError) string {
	kind, _, _ := strings.Cut(e.Value, " ")
	return kind
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	return "a whole number, from 0 where nothing else is said"
}

// respond returns a reply with a value, or with an error if there is one.
func respond(v any, err error) *transport.Envelope {
	if err != nil {
		return refusalOf(err)
	}
	data, err := contract.EncodeJSON(v)
	if err != nil {
		return refusalOf(fmt.Errorf("write the reply: %w", err))
	}
	return &transport.Envelope{Type: transport.TypeReply, Data: data}
}

// sendable returns the reply, or an error reply if it is too large for the bus.
func sendable(e *transport.Envelope) *transport.Envelope {
	if len(e.Data) <= maxReply {
		return e
	}
	return refusalOf(&busyError{why: fmt.Sprintf("the reply has %d bytes, and at most %d are sent: ask for less at once, or over HTTP", len(e.Data), maxReply)})
}

// briefly is the maximum length of a reason in a list, in bytes.
const briefly = 200

// brief cuts a reason to at most briefly bytes.
func brief(reason string) string { return shorten(reason, briefly) }

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func historyEvent(revision uint64, ev *machine.Event) api.Event {
	e := api.Event{
		Revision: revision, Type: ev.Type, At: ev.At, Timer: ev.Timer, Participant: ev.Participant, Step: ev.Step,
		Direction: ev.Direction, Attempt: ev.Attempt, Outcome: ev.Outcome, Operation: ev.Operation, By: ev.By, Reason: ev.Reason,
	}
	if len(ev.Payload) > 0 {
		e.Payload = payload(ev.Payload, ev.ContentType, false)
	}
	return e
}

// payload describes user data, with the data itself unless leftOut is set.
func payload(data []byte, contentType string, leftOut bool) *api.Payload {
	p := &api.Payload{ContentType: contentType, SizeBytes: len(data), LeftOut: leftOut}
	switch {
	case leftOut:
	case isJSON(data, contentType):
		p.JSON = data
	default:
		p.Binary = data
	}
	return p
}

// isJSON reports whether data can be shown as JSON: its content type says so and it is valid. Other
// data is shown as bytes.
func isJSON(data []byte, contentType string) bool {
	return contract.IsJSON(contentType) && contract.CheckJSON(data) == nil
}
