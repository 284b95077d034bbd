package machine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Errors of Decide for an event that cannot belong to the instance. For a late, duplicate or
// unexpected answer or timer, Decide returns no error, but sets Effects.Ignored.
var (
	// ErrExists means that the saga exists, so it cannot be started again.
	ErrExists = errors.New("the saga already exists")
	// ErrMissing means that the saga does not exist, and the event is not of type started.
	ErrMissing = errors.New("the saga does not exist")
	// ErrOtherDefinition means that the instance was started with a different definition.
	ErrOtherDefinition = errors.New("not the definition this saga was started with")
	// ErrInput means that the input cannot be used. The text says why.
	ErrInput = errors.New("unusable input")
)

// Decide is the complete behaviour of a saga. From its definition, its current state and an event,
// it computes the next state and the effects. Decide is pure (I6): the same arguments give the same
// results on every machine, and in every release that replays recorded histories (I8). It does not
// change the given instance, but the returned instance may share parts with it.
//
// A new saga begins with the zero Instance and an event of type started.
//
// The error is ErrExists, ErrMissing, ErrOtherDefinition, ErrInput, a *contract.NameError for an
// invalid id, an *OperationError for an operation that is not legal now, or an untyped error for an
// unknown type of event or timer. If Decide returns an error or sets Effects.Ignored, it returns
// the given instance, and the event must not be recorded.
func Decide(plan *Plan, in Instance, ev Event) (Instance, Effects, error) {
	return decide(plan, in, ev, evaluator{})
}

func decide(plan *Plan, in Instance, ev Event, mappings evaluator) (Instance, Effects, error) {
	if err := belongs(plan, &in, ev); err != nil {
		return in, Effects{}, err
	}
	at, updated := ev.At, in.Updated
	if ev.Type == contract.EventClockAdjusted {
		updated = updated.Add(ev.ClockOffset - in.ClockOffset)
	}
	if at.Before(updated) {
		at = updated // the clock was set back; the saga's time never goes back
	}
	step, ignored := 0, Ignored("")
	switch ev.Type { // first, because many events change nothing
	case contract.EventStepAnswered:
		step, ignored = addressed(plan, &in, &ev)
	case contract.EventTimerFired:
		step, ignored = fired(plan, &in, &ev)
	case contract.EventClockAdjusted:
		ignored = inTime(&in, ev.ClockOffset)
	}
	if ignored != "" {
		return in, Effects{Ignored: ignored}, nil
	}
	d := decision{plan: plan, in: in, at: at, before: in.Phase, mappings: mappings}
	d.in.Revision++
	d.in.Steps = slices.Clone(in.Steps)
	var err error
	switch ev.Type {
	case contract.EventStarted:
		err = d.start(ev)
	case contract.EventStepAnswered:
		d.answer(step, ev)
	case contract.EventTimerFired:
		err = d.fire(step, &ev)
	case contract.EventOperationTaken:
		err = d.operate(ev)
	case contract.EventClockAdjusted:
		d.retime(ev.ClockOffset)
		d.in.Updated = d.at
		return d.in, d.eff, nil
	default:
		err = fmt.Errorf("unknown event type %q: use started, step_answered, timer_fired, operation_taken or clock_adjusted", ev.Type)
	}
	if err != nil {
		return in, Effects{}, err
	}
	if d.eff.Ignored != "" {
		return in, Effects{Ignored: d.eff.Ignored}, nil
	}
	if !d.costly {
		d.advance()
	}
	if d.costly {
		return in, Effects{}, ErrCostly
	}
	d.announce()
	d.in.Updated = d.at
	return d.in, d.eff, nil
}

// Fold replays a history from the zero Instance. Folding a saga's recorded events produces its
// stored instance (I8).
func Fold(plan *Plan, events []Event) (Instance, error) {
	var in Instance
	var replay Replay
	for k, ev := range events {
		next, eff, err := replay.Decide(plan, in, ev)
		if err != nil {
			return in, fmt.Errorf("event %d (%s): %w", k+1, ev.Type, err)
		}
		if eff.Ignored != "" {
			return in, fmt.Errorf("event %d (%s) changes nothing: %s", k+1, ev.Type, eff.Ignored)
		}
		in = next
	}
	return in, nil
}

func belongs(plan *Plan, in *Instance, ev Event) error {
	switch {
	case ev.Type == contract.EventStarted && in.Revision != 0:
		return fmt.Errorf("start %s: %w", in.ID, ErrExists)
	case ev.Type != contract.EventStarted && in.Revision == 0:
		return fmt.Errorf("%s: %w", ev.Type, ErrMissing)
	case ev.Type != contract.EventStarted && in.Fingerprint != plan.Fingerprint:
		return fmt.Errorf("saga %s uses definition %s (fingerprint %.12s), but was given %s (fingerprint %.12s): %w",
			in.ID, in.Definition, in.Fingerprint, plan.Definition, plan.Fingerprint, ErrOtherDefinition)
	}
	return nil
}

// decision holds the state of one Decide call.
type decision struct {
	plan   *Plan
	in     Instance // the next instance
	at     time.Time
	before contract.Phase
	eff    Effects
	reason string // for the announcement

	mappings evaluator
	costly   bool // a mapping was not evaluated, so the decision is void
}

func (d *decision) start(ev Event) error {
	if err := ev.ID.Check(); err != nil {
		return err
	}
	if len(ev.Payload) > contract.MaxPayload {
		return fmt.Errorf("%w: it is %d bytes long; at most %d are allowed (MaxPayload): store large data elsewhere and pass a reference", ErrInput, len(ev.Payload), contract.MaxPayload)
	}
	if contract.IsJSON(ev.ContentType) {
		if err := contract.CheckJSON(ev.Payload); err != nil {
			return fmt.Errorf("%w: the content type says JSON, but the data is not valid JSON: %w; send valid JSON, or set a different content type", ErrInput, err)
		}
	}
	if err := d.mappings.checkInput(d.plan, ev.Payload); err != nil {
		return err
	}
	d.in = Instance{
		Start: Start{
			ID: ev.ID, Definition: d.plan.Definition, Fingerprint: d.plan.Fingerprint,
			Input: ev.Payload, ContentType: ev.ContentType, TraceParent: ev.TraceParent, Started: d.at,
		},
		Revision: 1, Updated: d.at, StateBytes: len(ev.Payload), ClockOffset: ev.ClockOffset,
		Steps: make([]StepState, len(d.plan.Steps)),
	}
	if d.plan.Deadline > 0 {
		d.in.Deadline = d.at.Add(d.plan.Deadline)
	}
	return nil
}

func (d *decision) announce() {
	if d.in.Phase == d.before && d.reason == "" {
		return
	}
	d.eff.Announcements = append(d.eff.Announcements, Announcement{
		Phase: d.in.Phase, Ended: !d.in.Open(), Reason: d.reason,
	})
}
