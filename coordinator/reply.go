package coordinator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// maxReply bounds the payloads in one reply, in bytes, so that it fits a bus that
// carries 1 MiB.
const maxReply = 512 << 10

// strict decodes JSON and refuses what it does not know: a misspelt field would
// be a wish that is silently not fulfilled.
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
	return nil
}

// plainly says what is wrong with JSON without the words of Go.
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

// kindOf is what a JSON value is; of a number the error says which.
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

// respond writes a reply, or the refusal that an error means.
func respond(v any, err error) *transport.Envelope {
	if err != nil {
		return refusalOf(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return refusal(transport.CodeInternal, "write the reply: "+err.Error())
	}
	return &transport.Envelope{Type: transport.TypeReply, Data: data}
}

// brief cuts a reason for a list.
func brief(reason string) string {
	const limit = 200
	if len(reason) <= limit {
		return reason
	}
	return strings.ToValidUTF8(reason[:limit], "") + "…"
}

func historyEvent(revision uint64, ev *saga.Event) transport.HistoryEvent {
	e := transport.HistoryEvent{
		Revision: revision, Type: string(ev.Type), At: ev.At, Participant: ev.Participant, Step: ev.Step,
		Direction: ev.Direction, Attempt: ev.Attempt, Outcome: ev.Outcome, Verb: string(ev.Verb), By: ev.By,
		Reason: ev.Reason, Payload: rawJSON(ev.Payload), ContentType: ev.ContentType, PayloadSize: len(ev.Payload),
	}
	if !json.Valid(ev.Payload) {
		e.Binary = ev.Payload
	}
	return e
}

// payload tells data of the user's: what it is, and the data itself unless it is
// left out.
func payload(data []byte, contentType string, leftOut bool) *transport.Payload {
	p := &transport.Payload{ContentType: contentType, Size: len(data), LeftOut: leftOut}
	switch {
	case leftOut:
	case json.Valid(data):
		p.JSON = data
	default:
		p.Binary = data
	}
	return p
}

// rawJSON is data if it is JSON, else a note about its size.
func rawJSON(data []byte) json.RawMessage {
	switch {
	case len(data) == 0:
		return nil
	case json.Valid(data):
		return data
	}
	return fmt.Appendf(nil, `"(%s not JSON)"`, plural.Of(len(data), "byte that is", "bytes that are"))
}
