package machine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// Errors of Decide for an event that cannot belong to the instance. Everything
// else that comes too late, twice or from nowhere is Effects.Ignored.
var (
	// ErrExists: a saga that exists cannot be started again.
	ErrExists = errors.New("the saga exists already")
	// ErrMissing: the first event of a saga must be one of type started.
	ErrMissing = errors.New("the saga does not exist")
	// ErrOtherDefinition: the definition given is not the one the instance was started with.
	ErrOtherDefinition = errors.New("not the definition this saga was started with")
	// ErrInput: the input cannot be used; the text says why.
	ErrInput = errors.New("unusable input")
)

// Decide is the whole behaviour of a saga: given its definition, where it stands
// and what happened, it returns where it stands then and what must follow. It is
// pure (I6): the same arguments give the same results, on every machine and in
// every release that replays recorded histories (I8). The instance given is not
// changed; parts of it may be shared by the one returned.
//
// A new saga begins with the zero Instance and an event of type started.
//
// Errors: ErrExists, ErrMissing, ErrOtherDefinition, ErrInput, *contract.NameError
// for a bad id, *OperationError for a decision that is not legal now. On an error, and
// when Effects.Ignored is set, the instance returned is the one given and the
// event is not part of the history.
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
		at = updated // the clock went back; the saga does not
	}
	step, ignored := 0, Ignored("")
	switch ev.Type { // first, because much of what comes changes nothing
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
		err = fmt.Errorf("event type %q: use started, step_answered, timer_fired, operation_taken or clock_adjusted", ev.Type)
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

// Fold replays a history from nothing. Folding a saga's recorded events gives
// its stored instance (I8).
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
		return fmt.Errorf("saga %s of %s (%.12s) given %s (%.12s): %w",
			in.ID, in.Definition, in.Fingerprint, plan.Definition, plan.Fingerprint, ErrOtherDefinition)
	}
	return nil
}

// few is for how many steps at once a decision has room without asking for
// memory. Most decisions are about one or two.
const few = 8

// decision is one call of Decide at work.
type decision struct {
	plan   *Plan
	in     Instance // the instance that becomes
	at     time.Time
	before contract.Phase
	eff    Effects
	reason string // for the announcement

	mappings evaluator
	costly   bool // a mapping was not evaluated: what is decided is void
}

func (d *decision) start(ev Event) error {
	if err := ev.ID.Check(); err != nil {
		return err
	}
	if len(ev.Payload) > contract.MaxPayload {
		return fmt.Errorf("%w: %d bytes, at most %d (MaxPayload); put large data elsewhere and pass its address", ErrInput, len(ev.Payload), contract.MaxPayload)
	}
	if contract.IsJSON(ev.ContentType) {
		if err := contract.CheckJSON(ev.Payload); err != nil {
			return fmt.Errorf("%w: the content type says JSON, but the data is not valid JSON: %w; give JSON, or another content type", ErrInput, err)
		}
	}
	if err := d.mappings.checkInput(d.plan, ev.Payload); err != nil {
		return err
	}
	d.in = Instance{
		ID: ev.ID, Definition: d.plan.Definition, Fingerprint: d.plan.Fingerprint, Revision: 1,
		Input: ev.Payload, ContentType: ev.ContentType, TraceParent: ev.TraceParent,
		Started: d.at, Updated: d.at, StateBytes: len(ev.Payload), ClockOffset: ev.ClockOffset,
		Steps: make([]StepState, len(d.plan.Steps)),
	}
	if d.plan.Deadline > 0 {
		d.in.Deadline = d.at.Add(d.plan.Deadline)
	}
	return nil
}

// advance begins everything that may begin now, and ends the saga when nothing
// is left to do.
func (d *decision) advance() {
	if !d.in.Open() {
		return
	}
	if d.in.Cause == nil && d.forward() {
		d.end(contract.Completed)
		return
	}
	if d.in.Cause != nil && d.backward() {
		d.end(contract.Compensated)
		return
	}
	d.in.Phase = contract.Running
	if d.in.Cause != nil {
		d.in.Phase = contract.Compensating
	}
	for i := range d.in.Steps {
		if d.in.Steps[i].Current().Parked() {
			d.in.Phase = contract.Parked
		}
	}
}

// forward asks for every step that may be done now, unless the saga is paused. All their requests are
// worked out first: one that cannot be is a reason to go back before anything
// else is set going.
func (d *decision) forward() (done bool) {
	var room [few]int
	ready := room[:0]
	done = compensation.Forward(&d.plan.Tree, d.in.State, func(i int) {
		if d.in.Steps[i].Do.state == SideIdle {
			ready = append(ready, i)
		}
	})
	if d.in.Paused != nil {
		return done
	}
	var requestRoom [few][]byte
	requests := requestRoom[:0]
	for _, i := range ready {
		request, err := d.request(i)
		requests = append(requests, request)
		switch {
		case err == nil:
		case d.plan.Steps[i].Kind == contract.KindRetriable:
			d.park(i, contract.DirectionDo, SideParkedUnasked, err.Error())
		default:
			d.close(i, contract.DirectionDo, SideNotTaken, cut(err.Error()))
			d.goBack(Cause{Kind: CauseMappingFailed, Step: d.plan.Steps[i].Name, Reason: cut(err.Error())})
			return false
		}
	}
	for k, i := range ready {
		if d.in.Steps[i].Do.state == SideIdle {
			d.begin(i, contract.DirectionDo, requests[k])
		}
	}
	return done
}

// backward asks for every undo that may run now, once everything under way is
// ended, unless the saga is paused.
func (d *decision) backward() (undone bool) {
	var room [few]int
	ready := room[:0]
	undone = compensation.Backward(&d.plan.Tree, d.in.State, func(i int) { ready = append(ready, i) })
	if d.in.Paused != nil {
		return undone
	}
	for _, i := range ready {
		payload, err := d.undoData(i)
		if err != nil { // the request was worked out from the same data before
			d.park(i, contract.DirectionUndo, SideParkedUnknown, err.Error())
			continue
		}
		d.begin(i, contract.DirectionUndo, payload)
	}
	return undone
}

// turn goes back, or remembers to when the pivot, which is in progress, has ended.
func (d *decision) turn(cause Cause) {
	if d.pivotUnderWay() {
		cause.At = d.at
		d.in.PendingCause = &cause
		return
	}
	d.goBack(cause)
}

func (d *decision) pivotUnderWay() bool {
	for i := range d.in.Steps {
		if d.plan.Steps[i].Kind == contract.KindPivot && d.in.Steps[i].Do.open() {
			return true
		}
	}
	return false
}

// goBack turns the saga round. Steps between two attempts are not attempted
// again: what became of them is unknown. Steps under way are awaited.
func (d *decision) goBack(cause Cause) {
	if d.in.Cause != nil {
		return
	}
	cause.At = d.at
	d.in.Cause = &cause
	d.in.PendingCause = nil
	d.reason = cause.String()
	for i := range d.in.Steps {
		switch do := &d.in.Steps[i].Do; {
		case do.Waiting():
			d.close(i, contract.DirectionDo, SideUnknown, do.reason)
		case do.state == SideParkedUnasked:
			d.close(i, contract.DirectionDo, SideNotTaken, do.reason)
		}
	}
}

func (d *decision) end(phase contract.Phase) {
	d.in.Phase = phase
	d.in.Ended = d.at
	d.in.Paused = nil
}

func (d *decision) announce() {
	if d.in.Phase == d.before && d.reason == "" {
		return
	}
	d.eff.Announcements = append(d.eff.Announcements, Announcement{
		Phase: d.in.Phase, Ended: !d.in.Open(), Reason: d.reason,
	})
}
