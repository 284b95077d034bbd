package coordinator

import (
	"errors"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator/internal/projection"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// MaxFeed is the number of transitions kept for watchers (I10). A watcher that resumes from an
// older position is told that it missed transitions.
const MaxFeed = projection.MaxFeed

// MaxBlocked bounds the blocked sagas that a coordinator remembers (I10). A blocked saga cannot
// make progress until an operator fixes the cause. After a restart, blocked sagas are found again
// when a timer is due or an event arrives.
const MaxBlocked = projection.MaxBlocked

// blocks reports whether err means that an existing saga cannot make progress until the store is
// fixed or its definition is registered.
func blocks(err error, event contract.EventType) bool {
	return errors.Is(err, store.ErrCorrupt) || errors.Is(err, ErrUnknownDefinition) && event != contract.EventStarted
}

// Applied describes an event that an input applied to a saga, and the event's effect.
type Applied struct {
	Event    *machine.Event
	Instance *machine.Instance // the saga after the event, read-only
	Before   contract.Phase    // phase before the event; "" for a start
	Waited   time.Duration     // for an answer: time since its command was enqueued; 0 if unknown
}

// changes converts the effects of an input to changes for the projection, and appends them.
func changes(all []projection.Change, input *Input, r *Result) []projection.Change {
	for i := range r.Applied {
		a := &r.Applied[i]
		c := projection.Change{
			Standing: standingOf(a.Instance), Started: a.Instance.Started, Event: a.Event.Type, At: a.Event.At, Before: a.Before,
			Step: a.Event.Step, Participant: a.Event.Participant, Direction: a.Event.Direction, Outcome: a.Event.Outcome, Waited: a.Waited,
		}
		if c.Phase.AtRest() {
			c.State = &Result{Instance: a.Instance, Definition: r.Definition}
		}
		all = append(all, c)
	}
	switch {
	case len(r.Applied) > 0 || r.Err != nil:
	case r.Instance == nil: // the saga ended and was removed
		all = append(all, projection.Change{Standing: projection.Standing{Saga: input.Saga}})
	default:
		c := projection.Change{Standing: standingOf(r.Instance), Started: r.Instance.Started}
		if c.Phase.AtRest() {
			// Waiters get the saga's state instead of this input's result: a late input is refused,
			// and the waiters did not send it.
			c.State = &Result{Instance: r.Instance, Definition: r.Definition}
		}
		all = append(all, c)
	}
	return all
}

func standingOf(in *machine.Instance) projection.Standing {
	return projection.Standing{
		Saga: in.ID, Birth: in.Birth(), Revision: in.Revision, Definition: in.Definition,
		Phase: in.Phase, Open: in.Open(), Paused: in.Paused != nil,
	}
}

// transition describes an applied event for logs, metrics and traces.
func transition(a *Applied, hideReasons bool) Transition {
	ev, in := a.Event, a.Instance
	t := Transition{
		Saga: in.ID, Definition: in.Definition, Revision: in.Revision, Event: ev.Type, Timer: ev.Timer, Step: ev.Step,
		Participant: ev.Participant, Direction: ev.Direction, Attempt: ev.Attempt, Outcome: ev.Outcome, Operation: ev.Operation,
		Before: a.Before, After: in.Phase, Ended: !in.Open(), Reason: ev.Reason,
		Overdue: in.Overdue && ev.Timer == contract.TimerDeadline, Started: in.Started, At: ev.At, TraceParent: in.TraceParent, Waited: a.Waited,
	}
	if t.Reason == "" && t.After == contract.PhaseParked {
		t.Reason = reasonFor(in)
	}
	if hideReasons && t.Reason != "" && theirs(ev, in) {
		t.Reason = transport.Redacted
	}
	return t
}

// theirs reports whether the reason of a transition may contain text from a participant.
func theirs(ev *machine.Event, in *machine.Instance) bool {
	if ev.Reason != "" {
		return ev.Type == contract.EventStepAnswered && ev.Outcome != contract.OutcomeNotSent
	}
	side := parkedSide(in)
	return side == nil || side.Attempt() > 0 // a step that was never requested has no answer
}
