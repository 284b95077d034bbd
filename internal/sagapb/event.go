package sagapb

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/pool"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
)

// MarshalEvent encodes an event.
func MarshalEvent(e *machine.Event) ([]byte, error) { return AppendEvent(nil, e) }

// AppendEvent appends the encoding of an event to dst. It returns an error, and leaves dst
// unchanged, if the encoding could not be decoded: if the type or time is missing, a value is
// outside its enum, or a time is outside the years 1678 to 2261.
func AppendEvent(dst []byte, e *machine.Event) ([]byte, error) {
	m := eventMessages.Get()
	defer eventMessages.Put(m)
	err := fillEvent(m, e)
	if err == nil {
		var out []byte
		if out, err = protoconv.Append(dst, m); err == nil {
			return out, nil
		}
	}
	return dst, fmt.Errorf("encode event %.64q: %w", string(e.Type), err)
}

// UnmarshalEvent decodes the output of AppendEvent. The result shares no memory with data.
func UnmarshalEvent(data []byte) (*machine.Event, error) {
	m := eventMessages.Get()
	defer eventMessages.Put(m)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	e, err := fromEvent(m)
	if err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	return e, nil
}

var errNoTime = errors.New("time is missing: every event must have one")

// eventMessages pools the messages that are used to encode and decode events.
var eventMessages = pool.New(func() *amendsv1.Event { return new(amendsv1.Event) }, (*amendsv1.Event).Reset)

// fillEvent sets the fields of m from an event.
func fillEvent(m *amendsv1.Event, e *machine.Event) error {
	if e.At.IsZero() {
		return errNoTime
	}
	m.Id = string(e.ID)
	m.Payload = e.Payload
	m.ContentType = e.ContentType
	m.TraceParent = e.TraceParent
	m.Participant = e.Participant
	m.Step = string(e.Step)
	m.Attempt = int64(e.Attempt)
	m.Reason = e.Reason
	m.Final = e.Final
	m.By = e.By
	m.ClockNanos = int64(e.ClockOffset)
	var errs [6]error
	m.Type, errs[0] = eventTypes.Required(e.Type)
	m.AtUnixNano, errs[1] = protoconv.Nano("time", e.At)
	m.Direction, errs[2] = protoconv.Directions.Optional(e.Direction)
	m.Outcome, errs[3] = protoconv.Outcomes.Optional(e.Outcome)
	m.Operation, errs[4] = operations.Optional(e.Operation)
	m.Timer, errs[5] = timers.Optional(e.Timer)
	return errors.Join(errs[:]...)
}

func fromEvent(m *amendsv1.Event) (*machine.Event, error) {
	e := &machine.Event{
		At:          protoconv.Time(m.AtUnixNano),
		ID:          contract.SagaID(m.Id),
		Payload:     protoconv.Bytes(m.Payload),
		ContentType: m.ContentType,
		TraceParent: m.TraceParent,
		Participant: m.Participant,
		Step:        contract.StepName(m.Step),
		Attempt:     int(m.Attempt),
		Reason:      m.Reason,
		Final:       m.Final,
		By:          m.By,
		ClockOffset: time.Duration(m.ClockNanos),
	}
	var errs [6]error
	if e.At.IsZero() {
		errs[0] = errNoTime
	}
	e.Type, errs[1] = eventTypes.RequiredWord(m.Type)
	e.Direction, errs[2] = protoconv.Directions.OptionalWord(m.Direction)
	e.Outcome, errs[3] = protoconv.Outcomes.OptionalWord(m.Outcome)
	e.Operation, errs[4] = operations.OptionalWord(m.Operation)
	e.Timer, errs[5] = timers.OptionalWord(m.Timer)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return e, nil
}
