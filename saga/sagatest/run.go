package sagatest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// Epoch is the start time of every run.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TB is the part of a test that a Run needs. It is implemented by *testing.T, *testing.F, *rapid.T,
// and any type with these two methods.
type TB interface {
	Helper()
	Fatalf(format string, args ...any) // must not return
}

// Run is a saga under test. A method ends the test if the requested event cannot happen. Methods
// that cause an event return the Run, so that calls can be chained.
type Run struct {
	t        TB
	def      *saga.Definition
	in       machine.Instance
	now      time.Time
	history  []machine.Event
	commands []machine.Command // all commands so far, in order
	seen     int               // number of commands that ExpectCommands has checked
	log      []string
}

// Start starts a saga of def with the id "test". input is encoded as JSON, except that a []byte is
// used unchanged.
func Start(t TB, def *saga.Definition, input any) *Run {
	t.Helper()
	r := &Run{t: t, def: def, now: Epoch}
	r.apply(fmt.Sprintf("starts with %s", r.encode(input)), machine.Event{Type: contract.EventStarted, ID: "test", Payload: r.encode(input)})
	return r
}

// Completed makes the participant complete the step, or the step's undo if the saga waits for the
// undo. The result may be nil.
func (r *Run) Completed(step contract.StepName, result any) *Run {
	r.t.Helper()
	ev := r.answer(step, contract.OutcomeCompleted)
	if result != nil {
		ev.Payload = r.encode(result)
	}
	return r.apply(fmt.Sprintf("%s of %s completes", ev.Direction, step), ev)
}

// Rejected makes the participant reject the step for a reason.
func (r *Run) Rejected(step contract.StepName, reason string) *Run {
	r.t.Helper()
	ev := r.answer(step, contract.OutcomeRejected)
	ev.Reason = reason
	return r.apply(fmt.Sprintf("%s of %s is rejected: %s", ev.Direction, step, reason), ev)
}

// Failed makes the current attempt of the step fail for a reason. The step may be retried.
func (r *Run) Failed(step contract.StepName, reason string) *Run {
	r.t.Helper()
	ev := r.answer(step, contract.OutcomeFailed)
	ev.Reason = reason
	return r.apply(fmt.Sprintf("%s of %s fails: %s", ev.Direction, step, reason), ev)
}

// Fatal makes the current attempt of the step fail in a way that a retry cannot fix.
func (r *Run) Fatal(step contract.StepName, reason string) *Run {
	r.t.Helper()
	ev := r.answer(step, contract.OutcomeFailed)
	ev.Reason, ev.Final = reason, true
	return r.apply(fmt.Sprintf("%s of %s fails for good: %s", ev.Direction, step, reason), ev)
}

// TimedOut advances the time until the current attempt times out.
func (r *Run) TimedOut(step contract.StepName) *Run {
	r.t.Helper()
	s := r.state(step).Current()
	if s.State() != machine.SideAwaitingAnswer {
		r.fatalf("%s does not wait for an answer", step)
	}
	return r.After(s.Due().Sub(r.now))
}

// Retried advances the time until the next attempt is sent.
func (r *Run) Retried(step contract.StepName) *Run {
	r.t.Helper()
	s := r.state(step).Current()
	if s.State() != machine.SideBackingOff {
		r.fatalf("%s does not wait for another attempt", step)
	}
	return r.After(s.Due().Sub(r.now))
}

// After advances the time, and fires all timers that come due.
func (r *Run) After(d time.Duration) *Run {
	r.t.Helper()
	until := r.now.Add(d)
	for {
		wake := r.in.Wake()
		if wake.IsZero() || wake.After(until) {
			break
		}
		r.now = wake
		for {
			ev, due := machine.DueTimer(r.def.Plan(), &r.in, r.now)
			if !due {
				break
			}
			r.apply(timer(&ev), ev)
		}
	}
	r.now = until
	return r
}

// timer describes the effect of a timer.
func timer(ev *machine.Event) string {
	switch ev.Timer {
	case contract.TimerTimeout:
		return fmt.Sprintf("attempt %d of the %s of %s times out", ev.Attempt, ev.Direction, ev.Step)
	case contract.TimerRetry:
		return fmt.Sprintf("%s of %s is tried again", ev.Direction, ev.Step)
	case contract.TimerDeadline:
	}
	return "the deadline passes"
}

// Cancel requests compensation, as an operator does.
func (r *Run) Cancel(reason string) *Run {
	r.t.Helper()
	return r.Operate(api.Decision{Operation: contract.OperationCancel, Reason: reason})
}

// Operate applies an operator's decision. The default of By is "tester".
func (r *Run) Operate(decision api.Decision) *Run {
	r.t.Helper()
	return r.apply(fmt.Sprintf("operator: %s %s", decision.Operation, decision.Step), operation(decision))
}

// Refuses checks that a decision is refused now, and returns the reason.
func (r *Run) Refuses(decision api.Decision) string {
	r.t.Helper()
	ev := operation(decision)
	ev.At = r.now
	_, _, err := machine.Decide(r.def.Plan(), r.in, ev)
	if err == nil {
		r.fatalf("%s is not refused", decision.Operation)
	}
	return err.Error()
}

func operation(d api.Decision) machine.Event {
	return machine.Event{
		Type: contract.EventOperationTaken, Operation: d.Operation, Step: d.Step, By: cmp.Or(d.By, "tester"), Reason: d.Reason,
		Outcome: d.Outcome, Payload: d.Result,
	}
}

// ExpectCommands checks the commands that were sent since its last call, written as "do step" and
// "undo step". The order of want does not matter.
func (r *Run) ExpectCommands(want ...string) *Run {
	r.t.Helper()
	var got []string
	for _, c := range r.commands[r.seen:] {
		got = append(got, fmt.Sprintf("%s %s", c.Direction, c.Step))
	}
	r.seen = len(r.commands)
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		r.fatalf("commands %q, want %q", got, want)
	}
	return r
}

// ExpectPhase checks the phase of the saga.
func (r *Run) ExpectPhase(want contract.Phase) *Run {
	r.t.Helper()
	if r.in.Phase != want {
		r.fatalf("the saga is %s, want %s", r.in.Phase, want)
	}
	return r
}

// ExpectReason checks that the reason why the saga compensates or is parked contains a text.
func (r *Run) ExpectReason(text string) *Run {
	r.t.Helper()
	reasons := ""
	if r.in.Cause != nil {
		reasons = r.in.Cause.String()
	}
	for i := range r.in.Steps {
		if side := r.in.Steps[i].Current(); side.Parked() {
			reasons += " " + side.Reason()
		}
	}
	if !strings.Contains(reasons, text) {
		r.fatalf("reason %q does not contain %q", reasons, text)
	}
	return r
}

// Request decodes the data of the step's last command into v. v points to the participant's request
// type, or to contract.Undo for an undo.
func (r *Run) Request(step contract.StepName, v any) *Run {
	r.t.Helper()
	for _, c := range slices.Backward(r.commands) {
		if c.Step != step {
			continue
		}
		if err := json.Unmarshal(c.Payload, v); err != nil {
			r.fatalf("the data of %s %s does not fit a %T: %v\n%s", c.Direction, step, v, err, c.Payload)
		}
		return r
	}
	r.fatalf("no command about %s was sent", step)
	return r
}

// Instance returns the current state of the saga.
func (r *Run) Instance() machine.Instance { return r.in }

// History returns the events so far. machine.Fold computes the instance from them.
func (r *Run) History() []machine.Event { return slices.Clone(r.history) }

func (r *Run) apply(what string, ev machine.Event) *Run {
	r.t.Helper()
	ev.At = r.now
	next, eff, err := machine.Decide(r.def.Plan(), r.in, ev)
	if err != nil {
		r.fatalf("%s: %v", what, err)
	}
	if eff.Ignored != "" {
		r.fatalf("%s: changes nothing: %s", what, eff.Ignored)
	}
	r.in = next
	r.history = append(r.history, ev)
	r.commands = append(r.commands, eff.Commands...)
	r.log = append(r.log, fmt.Sprintf("+%-8s %-40s → %s", r.now.Sub(Epoch), what, next.Phase))
	return r
}

// answer returns an answer to the current attempt of the step.
func (r *Run) answer(step contract.StepName, outcome contract.Outcome) machine.Event {
	r.t.Helper()
	s := r.state(step)
	ev := machine.Event{Type: contract.EventStepAnswered, Step: step, Attempt: s.Current().Attempt(), Outcome: outcome, Direction: contract.DirectionDo}
	i := r.index(step)
	ev.Participant = r.def.Step(i).Do.Participant
	switch {
	case s.Status() == contract.StepUndoing:
		ev.Direction = contract.DirectionUndo
		ev.Participant = r.def.Step(i).Undo.Participant
	case s.Status() != contract.StepDoing:
		r.fatalf("%s does not wait for an answer: it is %s", step, s.Status())
	}
	return ev
}

func (r *Run) state(step contract.StepName) *machine.StepState {
	r.t.Helper()
	return &r.in.Steps[r.index(step)]
}

func (r *Run) index(step contract.StepName) int {
	r.t.Helper()
	names := make([]string, r.def.Len())
	for i := range r.def.Len() {
		if r.def.Step(i).Name == step {
			return i
		}
		names[i] = string(r.def.Step(i).Name)
	}
	r.fatalf("there is no step %s; there are %s", step, strings.Join(names, ", "))
	return 0
}

func (r *Run) encode(v any) []byte {
	r.t.Helper()
	if data, ok := v.([]byte); ok {
		return data
	}
	data, err := contract.EncodeJSON(v)
	if err != nil {
		r.fatalf("write %T as JSON: %v", v, err)
	}
	return data
}

func (r *Run) fatalf(format string, args ...any) {
	r.t.Helper()
	r.t.Fatalf("%s\n\nso far:\n%s\n", fmt.Sprintf(format, args...), strings.Join(r.log, "\n"))
}
