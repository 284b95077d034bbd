package sagapb

import (
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/pool"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
)

// MarshalInstance encodes a saga's state.
func MarshalInstance(in *machine.Instance) ([]byte, error) { return AppendInstance(nil, in) }

// AppendInstance appends the encoding of a saga's state to dst, so that a caller can reuse a
// buffer. It returns an error, and leaves dst unchanged, if the encoding could not be decoded: if
// the id, definition, revision, phase or start time is missing, a value is outside its enum, or a
// time is outside the years 1678 to 2261.
func AppendInstance(dst []byte, in *machine.Instance) ([]byte, error) {
	return encode(dst, in.ID, func(m *message) (proto.Message, error) {
		m.instance.Start = &m.start
		return &m.instance, errors.Join(m.fillStart(&in.Start), m.fill(in))
	})
}

// MarshalStart encodes what a saga was started with. It returns the errors of AppendInstance that
// concern the start.
func MarshalStart(s *machine.Start) ([]byte, error) {
	return encode(nil, s.ID, func(m *message) (proto.Message, error) { return &m.start, m.fillStart(s) })
}

// MarshalRest encodes a saga's state without its start, and with what pack returns instead of each
// result. It returns the errors of AppendInstance that concern the rest.
func MarshalRest(in *machine.Instance, pack func(result []byte) []byte) ([]byte, error) {
	return encode(nil, in.ID, func(m *message) (proto.Message, error) {
		err := m.fill(in)
		for _, s := range m.instance.Steps {
			s.Result = pack(s.Result)
		}
		return &m.instance, err
	})
}

// encode appends the encoding of a state, or of a part of it, which fill sets.
func encode(dst []byte, id contract.SagaID, fill func(*message) (proto.Message, error)) ([]byte, error) {
	m := messages.Get()
	defer messages.Put(m)
	filled, err := fill(m)
	if err == nil {
		var out []byte
		if out, err = protoconv.Append(dst, filled); err == nil {
			return out, nil
		}
	}
	return dst, fmt.Errorf("encode the state of saga %.128s: %w", id, err)
}

// UnmarshalInstance decodes the output of AppendInstance. The result shares no memory with data.
func UnmarshalInstance(data []byte) (*machine.Instance, error) {
	m := new(amendsv1.Instance)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read the state of a saga: %w", err)
	}
	start, err := fromStart(m.Start)
	if err != nil {
		return nil, fmt.Errorf("read the state of saga %.128q: %w", m.Start.GetId(), err)
	}
	return fromInstance(m, start)
}

// UnmarshalStart decodes the output of MarshalStart. The result shares no memory with data.
func UnmarshalStart(data []byte) (machine.Start, error) {
	m := new(amendsv1.Start)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return machine.Start{}, fmt.Errorf("read the start of a saga: %w", err)
	}
	start, err := fromStart(m)
	if err != nil {
		return machine.Start{}, fmt.Errorf("read the start of saga %.128q: %w", m.Id, err)
	}
	return start, nil
}

// UnmarshalRest decodes the output of MarshalRest for a saga with the given start; the results are as
// they were packed. The instance shares no memory with data.
func UnmarshalRest(data []byte, start machine.Start) (*machine.Instance, error) {
	m := new(amendsv1.Instance)
	if err := protoconv.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read the state of saga %.128q: %w", start.ID, err)
	}
	return fromInstance(m, start)
}

// checkStart returns an error if a required field of the start is missing.
func checkStart(s *machine.Start) error {
	switch {
	case s.Definition.Name == "" || s.Definition.Version < 1:
		return fmt.Errorf("definition %q version %d: the name must not be empty, and the version must be at least 1", s.Definition.Name, s.Definition.Version)
	case s.Started.IsZero():
		return errors.New("time of start is missing")
	}
	return s.ID.Check()
}

func checkRevision(in *machine.Instance) error {
	if in.Revision == 0 {
		return errors.New("revision is missing: it must be at least 1")
	}
	return nil
}

// message holds the memory for encoding a state. It is pooled, because every transition of every
// saga encodes a state.
type message struct {
	start    amendsv1.Start
	instance amendsv1.Instance
	ref      amendsv1.DefinitionRef
	steps    []amendsv1.StepState
	sides    []amendsv1.Side // the do and undo of each step
	list     []*amendsv1.StepState
}

var messages = pool.New(func() *message { return new(message) }, (*message).reset)

// reset removes all references to a state.
func (m *message) reset() {
	m.start.Reset()
	m.instance.Reset()
	m.ref.Reset()
	for i, step := range m.list {
		step.Reset()
		m.sides[2*i].Reset()
		m.sides[2*i+1].Reset()
	}
}

func (m *message) fillStart(s *machine.Start) error {
	if err := checkStart(s); err != nil {
		return err
	}
	to := &m.start
	to.Id = string(s.ID)
	m.ref.Name, m.ref.Version = s.Definition.Name, int64(s.Definition.Version)
	to.Definition = &m.ref
	to.Fingerprint = s.Fingerprint
	to.Input = s.Input
	to.ContentType = s.ContentType
	to.TraceParent = s.TraceParent
	var err error
	to.StartedUnixNano, err = protoconv.Nano("started", s.Started)
	return err
}

// fill sets the fields of m from a state, except for its start.
func (m *message) fill(in *machine.Instance) error {
	if err := checkRevision(in); err != nil {
		return err
	}
	to := &m.instance
	to.Revision = in.Revision
	to.Overdue = in.Overdue
	to.StateBytes = int64(in.StateBytes)
	to.ClockNanos = int64(in.ClockOffset)
	var errs [8]error
	to.Phase, errs[0] = protoconv.Phases.Required(in.Phase)
	to.UpdatedUnixNano, errs[1] = protoconv.Nano("updated", in.Updated)
	to.EndedUnixNano, errs[2] = protoconv.Nano("ended", in.Ended)
	to.DeadlineUnixNano, errs[3] = protoconv.Nano("deadline", in.Deadline)
	to.Cause, errs[4] = causeMessage("cause", in.Cause)
	to.PendingCause, errs[5] = causeMessage("pending cause", in.PendingCause)
	to.Paused, errs[6] = pauseMessage(in.Paused)
	errs[7] = m.fillSteps(in.Steps)
	to.Steps = m.list
	return errors.Join(errs[:]...)
}

func fromStart(m *amendsv1.Start) (machine.Start, error) {
	if m == nil {
		return machine.Start{}, errors.New("start is missing")
	}
	s := machine.Start{
		ID:          contract.SagaID(m.Id),
		Definition:  protoconv.FromRef(m.Definition),
		Fingerprint: m.Fingerprint,
		Input:       protoconv.Bytes(m.Input),
		ContentType: m.ContentType,
		TraceParent: m.TraceParent,
		Started:     protoconv.Time(m.StartedUnixNano),
	}
	return s, checkStart(&s)
}

func fromInstance(m *amendsv1.Instance, start machine.Start) (*machine.Instance, error) {
	in := &machine.Instance{
		Start:       start,
		Revision:    m.Revision,
		Updated:     protoconv.Time(m.UpdatedUnixNano),
		Ended:       protoconv.Time(m.EndedUnixNano),
		Deadline:    protoconv.Time(m.DeadlineUnixNano),
		Overdue:     m.Overdue,
		StateBytes:  int(m.StateBytes),
		ClockOffset: time.Duration(m.ClockNanos),
	}
	var errs [6]error
	errs[0] = checkRevision(in)
	in.Phase, errs[1] = protoconv.Phases.RequiredWord(m.Phase)
	in.Cause, errs[2] = fromCause("cause", m.Cause)
	in.PendingCause, errs[3] = fromCause("pending cause", m.PendingCause)
	in.Paused, errs[4] = fromPause(m.Paused)
	in.Steps, errs[5] = fromSteps(m.Steps)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("read the state of saga %.128q: %w", start.ID, err)
	}
	return in, nil
}

func pauseMessage(p *machine.Pause) (*amendsv1.Pause, error) {
	if p == nil {
		return nil, nil
	}
	at, err := protoconv.Nano("time", p.At)
	if err == nil && at == 0 {
		err = errors.New("time is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("paused: %w", err)
	}
	return &amendsv1.Pause{AtUnixNano: at, By: p.By, Reason: p.Reason}, nil
}

func fromPause(m *amendsv1.Pause) (*machine.Pause, error) {
	switch {
	case m == nil:
		return nil, nil
	case m.AtUnixNano == 0:
		return nil, errors.New("paused: time is missing")
	}
	return &machine.Pause{At: protoconv.Time(m.AtUnixNano), By: m.By, Reason: m.Reason}, nil
}

func causeMessage(what string, c *machine.Cause) (*amendsv1.Cause, error) {
	if c == nil {
		return nil, nil
	}
	kind, err := causeKinds.Required(c.Kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	at, err := protoconv.Nano("time", c.At)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return &amendsv1.Cause{Kind: kind, Step: string(c.Step), Reason: c.Reason, By: c.By, AtUnixNano: at}, nil
}

func fromCause(what string, m *amendsv1.Cause) (*machine.Cause, error) {
	if m == nil {
		return nil, nil
	}
	kind, err := causeKinds.RequiredWord(m.Kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return &machine.Cause{Kind: kind, Step: contract.StepName(m.Step), Reason: m.Reason, By: m.By, At: protoconv.Time(m.AtUnixNano)}, nil
}

func (m *message) fillSteps(steps []machine.StepState) error {
	m.list = m.list[:0]
	if err := checkSteps(len(steps)); err != nil {
		return err
	}
	if len(m.steps) < len(steps) {
		m.steps, m.sides = make([]amendsv1.StepState, len(steps)), make([]amendsv1.Side, 2*len(steps))
	}
	for i := range steps {
		s, to := &steps[i], &m.steps[i]
		m.list = append(m.list, to)
		to.Result = s.Result
		var err error
		if to.Do, err = sideMessage(contract.DirectionDo, &s.Do, &m.sides[2*i]); err == nil {
			to.Undo, err = sideMessage(contract.DirectionUndo, &s.Undo, &m.sides[2*i+1])
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// sideMessage copies a side into the message to and returns the message. It returns nil if the side
// is idle.
func sideMessage(direction contract.Direction, side *machine.Side, to *amendsv1.Side) (*amendsv1.Side, error) {
	if *side == (machine.Side{}) {
		return nil, nil
	}
	d := side.Data()
	if _, err := machine.NewSide(direction, d); err != nil {
		return nil, err
	}
	at := d.Due
	if !d.Parked.IsZero() {
		at = d.Parked
	}
	nano, err := protoconv.Nano(string(direction), at)
	if err != nil {
		return nil, err
	}
	to.State, to.Attempt, to.MaxAttempt, to.AtUnixNano = amendsv1.SideState(d.State), int64(d.Attempt), int64(d.MaxAttempt), nano
	to.Command, to.Reason = d.Command, d.Reason
	return to, nil
}

// fromSide decodes a side. A nil message stands for an idle side.
func fromSide(direction contract.Direction, m *amendsv1.Side) (machine.Side, error) {
	if m == nil {
		return machine.Side{}, nil
	}
	if m.State < 0 || m.State > math.MaxUint8 {
		return machine.Side{}, fmt.Errorf("state %d of the %s is unknown", m.State, direction)
	}
	d := machine.SideData{State: machine.SideState(m.State), Attempt: int(m.Attempt), MaxAttempt: int(m.MaxAttempt), Command: m.Command, Reason: m.Reason}
	switch m.State {
	case amendsv1.SideState_SIDE_STATE_PARKED_UNASKED, amendsv1.SideState_SIDE_STATE_PARKED_UNKNOWN, amendsv1.SideState_SIDE_STATE_PARKED_REJECTED:
		d.Parked = protoconv.Time(m.AtUnixNano)
	default:
		d.Due = protoconv.Time(m.AtUnixNano)
	}
	return machine.NewSide(direction, d)
}

func fromSteps(list []*amendsv1.StepState) ([]machine.StepState, error) {
	if len(list) == 0 || len(list) > machine.MaxSteps {
		return nil, checkSteps(len(list))
	}
	steps := make([]machine.StepState, len(list))
	for i, m := range list {
		do, err := fromSide(contract.DirectionDo, m.Do)
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
		undo, err := fromSide(contract.DirectionUndo, m.Undo)
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
		steps[i] = machine.StepState{Do: do, Undo: undo, Result: protoconv.Bytes(m.Result)}
	}
	return steps, nil
}

func checkSteps(n int) error {
	if n > machine.MaxSteps {
		return fmt.Errorf("%d steps: a saga has at most %d", n, machine.MaxSteps)
	}
	return nil
}
