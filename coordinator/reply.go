package coordinator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// maxReply bounds the payloads in one reply, in bytes, so that it fits a bus that
// carries 1 MiB.
const maxReply = 512 << 10

// badRequest is an error in what the caller sent.
type badRequest struct{ why string }

func (e *badRequest) Error() string { return e.why }

// strict decodes JSON and refuses what it does not know: a misspelt field would
// be a wish that is silently not fulfilled.
func strict(data []byte, v any) error {
	if len(data) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &badRequest{"the request's data: " + plainly(err)}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &badRequest{"the request's data: something follows the JSON"}
	}
	return nil
}

// plainly says what is wrong with JSON without the words of Go.
func plainly(err error) string {
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped) && mistyped.Field == "":
		return "is a JSON " + mistyped.Value + "; write an object"
	case errors.As(err, &mistyped):
		return fmt.Sprintf("field %s is a JSON %s; write %s", mistyped.Field, mistyped.Value, wanted(mistyped.Type.Kind()))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "ends in the middle of the JSON"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
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

func refusal(code transport.Code, reason string) *transport.Envelope {
	return &transport.Envelope{Type: transport.TypeReply, Code: string(code), Reason: reason}
}

// exhausted refuses for now: a limit is reached, and retry is when to ask again.
func exhausted(retry time.Duration, reason string) *transport.Envelope {
	e := refusal(transport.CodeResourceExhausted, reason)
	e.RetryAfter = retry
	return e
}

// refusalOf maps an error to its code.
func refusalOf(err error) *transport.Envelope {
	code := transport.CodeInternal
	var verb *saga.VerbError
	var name *contract.NameError
	var bad *badRequest
	switch {
	case errors.As(err, &verb), errors.Is(err, store.ErrEnded):
		code = transport.CodeFailedPrecondition
	case errors.As(err, &name), errors.As(err, &bad), errors.Is(err, saga.ErrInput), errors.Is(err, store.ErrCursor):
		code = transport.CodeInvalidArgument
	case errors.Is(err, ErrIDTaken), errors.Is(err, store.ErrDefinitionConflict):
		code = transport.CodeAlreadyExists
	case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrUnknownDefinition):
		code = transport.CodeNotFound
	case errors.Is(err, ErrTooManyDefinitions):
		code = transport.CodeResourceExhausted
	case errors.Is(err, errStopping), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrBroken), errors.Is(err, store.ErrConflict):
		code = transport.CodeUnavailable
	}
	return refusal(code, err.Error())
}

// status tells where a saga stands.
func status(def *saga.Definition, in *saga.Instance, steps bool) *transport.Status {
	s := &transport.Status{
		ID: in.ID, Definition: in.Definition, Phase: in.Phase, Revision: in.Revision,
		Started: in.Started, Updated: in.Updated, Ended: in.Ended, Reason: reasonFor(in),
	}
	if !steps {
		return s
	}
	for _, v := range saga.Legal(def, in) {
		s.Legal = append(s.Legal, v.String())
	}
	s.Steps = make([]transport.StepStatus, len(in.Steps))
	size := 0
	for i := range in.Steps {
		step, state := def.Step(i), &in.Steps[i]
		result := rawJSON(state.Result)
		if size += len(result); size > maxReply {
			result = fmt.Appendf(nil, `"(%d bytes that do not fit into this reply; the history has them)"`, len(state.Result))
		}
		s.Steps[i] = transport.StepStatus{
			Name: step.Name, Kind: string(step.Kind), Status: string(state.Status), Attempt: state.Attempt,
			Due: state.Due, Parked: state.Parked, Reason: state.Reason, Result: result,
		}
	}
	if in.Open() {
		for _, wave := range compensation.Plan(def.Tree(), in.State) {
			names := make([]string, len(wave))
			for k, i := range wave {
				names[k] = string(def.Step(i).Name)
			}
			s.Undo = append(s.Undo, names)
		}
	}
	return s
}

// brief cuts a reason for a list.
func brief(reason string) string {
	const limit = 200
	if len(reason) <= limit {
		return reason
	}
	return strings.ToValidUTF8(reason[:limit], "") + "…"
}

// stoneStatus tells what is known of a saga that ended and was removed.
func stoneStatus(t *store.TombstoneError, existed bool) *transport.Status {
	return &transport.Status{ID: t.Saga, Definition: t.Definition, Phase: t.Phase, Ended: t.Ended, Removed: true, Existed: existed}
}

// reasonFor is why a saga is parked, goes back or went back.
func reasonFor(in *saga.Instance) string {
	for i := range in.Steps {
		if s := &in.Steps[i]; !s.Parked.IsZero() {
			return s.Reason
		}
	}
	if in.Cause != nil {
		return in.Cause.String()
	}
	return ""
}

func historyEvent(revision uint64, ev *saga.Event) transport.HistoryEvent {
	return transport.HistoryEvent{
		Revision: revision, Type: string(ev.Type), At: ev.At, Participant: ev.Participant, Step: ev.Step,
		Direction: ev.Direction, Attempt: ev.Attempt, Outcome: ev.Outcome, Verb: string(ev.Verb), By: ev.By,
		Reason: ev.Reason, Payload: rawJSON(ev.Payload),
	}
}

// rawJSON is data if it is JSON, else a note about its size.
func rawJSON(data []byte) json.RawMessage {
	switch {
	case len(data) == 0:
		return nil
	case json.Valid(data):
		return data
	}
	return fmt.Appendf(nil, `"(%d bytes that are not JSON)"`, len(data))
}
