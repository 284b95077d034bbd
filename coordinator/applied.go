package coordinator

import (
	"errors"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator/internal/projection"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// MaxFeed is how many transitions are remembered for those who watch (I10). Who comes back
// later than that is told that some were missed.
const MaxFeed = projection.MaxFeed

// MaxBlocked bounds the blocked sagas that a coordinator keeps in mind (I10): those that cannot
// be moved until somebody has fixed what they need. They are met again after a restart, when
// they are due or an event for them comes.
const MaxBlocked = projection.MaxBlocked

// blocks reports whether err is of a saga that exists and cannot be moved until
// somebody has fixed the store, or registered its definition.
func blocks(err error, event contract.EventType) bool {
	return errors.Is(err, store.ErrCorrupt) || errors.Is(err, ErrUnknownDefinition) && event != contract.EventStarted
}

// Applied is an event that an input applied to a saga, and what it did.
type Applied struct {
	Event    *machine.Event
	Instance *machine.Instance // where the saga stands after it. Read-only
	Before   contract.Phase    // "" for a start
	Waited   time.Duration     // of an answer: since its command was enqueued; 0: not known
}

// changes appends what became of an input as the projection is told of it.
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
	case r.Instance == nil: // it ended and was removed
		all = append(all, projection.Change{Standing: projection.Standing{Saga: input.Saga}})
	default:
		c := projection.Change{Standing: standingOf(r.Instance), Started: r.Instance.Started}
		if c.Phase.AtRest() {
			// Where the saga stands, and not what became of this input: one that comes
			// late is refused, and a refusal is nothing that those who wait have asked for.
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

// transition describes an event that was applied, for logs, metrics and traces.
func transition(a *Applied, hideReasons bool) Transition {
	ev, in := a.Event, a.Instance
	t := Transition{
		Saga: in.ID, Definition: in.Definition, Revision: in.Revision, Event: ev.Type, Timer: ev.Timer, Step: ev.Step,
		Participant: ev.Participant, Direction: ev.Direction, Attempt: ev.Attempt, Outcome: ev.Outcome, Operation: ev.Operation,
		Before: a.Before, After: in.Phase, Ended: !in.Open(), Reason: ev.Reason,
		Started: in.Started, At: ev.At, TraceParent: in.TraceParent, Waited: a.Waited,
	}
	if t.Reason == "" && t.After == contract.Parked {
		t.Reason = reasonFor(in)
	}
	if hideReasons && t.Reason != "" && theirs(ev, in) {
		t.Reason = transport.Redacted
	}
	return t
}

// theirs reports whether a participant may have written the reason of a transition, or a part
// of it.
func theirs(ev *machine.Event, in *machine.Instance) bool {
	if ev.Reason != "" {
		return ev.Type == contract.EventStepAnswered && ev.Outcome != contract.OutcomeNotSent
	}
	side := parkedSide(in)
	return side == nil || side.Attempt() > 0 // nobody has answered a step that was never asked for
}
