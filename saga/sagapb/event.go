package sagapb

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga"
)

// MarshalEvent is AppendEvent to nothing.
func MarshalEvent(e *saga.Event) ([]byte, error) { return AppendEvent(nil, e) }

// AppendEvent appends the bytes of an event to dst. It fails on an event that
// could not be read back: without type or time, with a word outside its set or
// with a time outside 1678 … 2261. dst is unchanged then.
func AppendEvent(dst []byte, e *saga.Event) ([]byte, error) {
	m, err := eventMessage(e)
	if err == nil {
		var out []byte
		if out, err = protoconv.Append(dst, m); err == nil {
			return out, nil
		}
	}
	return dst, fmt.Errorf("write down event %.64q: %w", string(e.Type), err)
}

// UnmarshalEvent reads what AppendEvent wrote. The result shares no memory with
// data.
func UnmarshalEvent(data []byte) (*saga.Event, error) {
	m := new(amendsv1.Event)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	e, err := fromEvent(m)
	if err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	return e, nil
}

var errNoTime = errors.New("time is missing: an event happened at a time")

func eventMessage(e *saga.Event) (*amendsv1.Event, error) {
	if e.At.IsZero() {
		return nil, errNoTime
	}
	m := &amendsv1.Event{
		Id:          string(e.ID),
		Payload:     e.Payload,
		ContentType: e.ContentType,
		TraceParent: e.TraceParent,
		Participant: e.Participant,
		Step:        string(e.Step),
		Attempt:     int64(e.Attempt),
		Reason:      e.Reason,
		Final:       e.Final,
		By:          e.By,
	}
	var errs [5]error
	m.Type, errs[0] = eventTypes.Required(e.Type)
	m.AtUnixNano, errs[1] = protoconv.Nano("time", e.At)
	m.Direction, errs[2] = protoconv.Directions.Optional(e.Direction)
	m.Outcome, errs[3] = protoconv.Outcomes.Optional(e.Outcome)
	m.Verb, errs[4] = verbs.Optional(e.Verb)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return m, nil
}

func fromEvent(m *amendsv1.Event) (*saga.Event, error) {
	e := &saga.Event{
		At:          protoconv.Time(m.AtUnixNano),
		ID:          saga.ID(m.Id),
		Payload:     protoconv.Bytes(m.Payload),
		ContentType: m.ContentType,
		TraceParent: m.TraceParent,
		Participant: m.Participant,
		Step:        saga.StepName(m.Step),
		Attempt:     int(m.Attempt),
		Reason:      m.Reason,
		Final:       m.Final,
		By:          m.By,
	}
	var errs [5]error
	if e.At.IsZero() {
		errs[0] = errNoTime
	}
	e.Type, errs[1] = eventTypes.RequiredWord(m.Type)
	e.Direction, errs[2] = protoconv.Directions.OptionalWord(m.Direction)
	e.Outcome, errs[3] = protoconv.Outcomes.OptionalWord(m.Outcome)
	e.Verb, errs[4] = verbs.OptionalWord(m.Verb)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return e, nil
}
