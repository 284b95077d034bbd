package coordinator

import (
	"fmt"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

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
	return refusalOf(&busyError{why: fmt.Sprintf("the reply has %d bytes, but at most %d are allowed: request less at once, or use HTTP", len(e.Data), maxReply)})
}

// briefly is the maximum length of a reason in a list, in bytes.
const briefly = 200

// brief cuts a reason to at most briefly bytes.
func brief(reason string) string { return contract.Cut(reason, briefly) }

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

// isJSON reports whether data can be shown as JSON: its content type is JSON, and the data is
// valid. Other data is shown as bytes.
func isJSON(data []byte, contentType string) bool {
	return contract.IsJSON(contentType) && contract.CheckJSON(data) == nil
}
