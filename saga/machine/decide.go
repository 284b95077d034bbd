package machine

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		updated = updated.Add(ev.Clock - in.Clock)
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
		ignored = inTime(&in, ev.Clock)
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
		d.retime(ev.Clock)
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
		Started: d.at, Updated: d.at, StateBytes: len(ev.Payload), Clock: ev.Clock,
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
			d.in.Steps[i].Do.end(SideNotTaken, cut(err.Error()))
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

func (d *decision) end(phase contract.Phase) {
	d.in.Phase = phase
	d.in.Ended = d.at
	d.in.Paused = nil
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
			do.end(SideUnknown, do.reason)
		case do.state == SideParkedUnasked:
			do.end(SideNotTaken, do.reason)
		}
	}
}

func (d *decision) begin(i int, dir contract.Direction, payload []byte) {
	*d.in.Steps[i].Side(dir) = Side{maxAttempt: d.plan.action(i, dir).Attempts}
	d.send(i, dir, payload)
}

// send enqueues the next attempt's command.
func (d *decision) send(i int, dir contract.Direction, payload []byte) {
	side, action := d.in.Steps[i].Side(dir), d.plan.action(i, dir)
	d.discard(i, dir)
	side.ask(d.at.Add(action.Timeout), d.in.Revision)
	contentType := ""
	if dir == contract.DirectionDo && d.plan.Steps[i].Mapping == nil {
		contentType = d.in.ContentType
	}
	d.eff.Commands = append(d.eff.Commands, Command{
		Index: i, Step: d.plan.Steps[i].Name, Direction: dir, Attempt: side.attempt,
		Participant: action.Participant, Action: action.Action,
		Payload: payload, ContentType: contentType, Expires: side.at,
	})
}

// discard says that the step's last command is not pending any more.
func (d *decision) discard(i int, dir contract.Direction) {
	side := d.in.Steps[i].Side(dir)
	if side.command != 0 {
		d.eff.Discarded = append(d.eff.Discarded, CommandRef{Index: i, Step: d.plan.Steps[i].Name, Direction: dir, Revision: side.command})
		side.command = 0
	}
}

func (d *decision) park(i int, dir contract.Direction, state SideState, reason string) {
	side := d.in.Steps[i].Side(dir)
	side.park(state, d.at, cut(reason))
	d.reason = fmt.Sprintf("%s: %s", d.plan.Steps[i].Name, side.reason)
}

func (d *decision) announce() {
	if d.in.Phase == d.before && d.reason == "" {
		return
	}
	d.eff.Announcements = append(d.eff.Announcements, Announcement{
		Phase: d.in.Phase, Ended: !d.in.Open(), Reason: d.reason,
	})
}

// request is the data of a step's do.
func (d *decision) request(i int) ([]byte, error) {
	steps := d.in.Steps // not d: the mapping may keep what it is given
	request, err := d.mappings.request(d.plan, i, d.in.Input, func(step int) []byte { return steps[step].Result })
	if errors.Is(err, ErrCostly) {
		d.costly = true
	}
	if err == nil && len(request) > contract.MaxPayload {
		err = fmt.Errorf("the request of step %s would be %d bytes, at most %d (MaxPayload)", d.plan.Steps[i].Name, len(request), contract.MaxPayload)
	}
	if err == nil && d.plan.Steps[i].Mapping != nil {
		if wrong := contract.CheckJSON(request); wrong != nil { // deeper than what it is made of, for example
			err = fmt.Errorf("the request of step %s would not be valid JSON: %w", d.plan.Steps[i].Name, wrong)
		}
	}
	return request, err
}

// undoData is the data of a step's undo: {"request": …, "result": …}. What is
// not JSON is written as a string of its base64, which encoding/json reads back
// into a []byte.
func (d *decision) undoData(i int) ([]byte, error) {
	request, err := d.request(i)
	if err != nil {
		return nil, err
	}
	if d.plan.Steps[i].Mapping == nil && !contract.IsJSON(d.in.ContentType) {
		request = quoted(request)
	}
	result := d.in.Steps[i].Result
	if len(result) == 0 {
		result = []byte("null")
	}
	if len(request) == 0 {
		request = []byte("null")
	}
	var b bytes.Buffer
	b.Grow(len(request) + len(result) + len(`{"request":,"result":}`))
	b.WriteString(`{"request":`)
	b.Write(request)
	b.WriteString(`,"result":`)
	b.Write(result)
	b.WriteByte('}')
	return b.Bytes(), nil
}

func quoted(data []byte) []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(data))+2)
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, data)
	return append(out, '"')
}

// cut shortens a reason to MaxReason bytes and makes it valid UTF-8.
func cut(reason string) string {
	reason = strings.ToValidUTF8(reason, "�")
	if len(reason) <= contract.MaxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:contract.MaxReason-len("…")], "") + "…"
}

// String is the cause in a few words: what, where, by whom, why.
func (c *Cause) String() string {
	if c.Reason == "" {
		return c.brief()
	}
	return c.brief() + ": " + c.Reason
}

// brief is String without the reason, which others wrote.
func (c *Cause) brief() string {
	text := string(c.Kind)
	if c.Step != "" {
		text += " at " + string(c.Step)
	}
	if c.By != "" {
		text += " by " + c.By
	}
	return text
}

// key is the idempotency key of one direction of a step.
func (d *decision) key(i int, dir contract.Direction) contract.Key {
	return contract.Key{Saga: d.in.ID, Birth: d.in.Birth(), Step: d.plan.Steps[i].Name, Direction: dir}
}
