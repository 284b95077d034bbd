package coordinator

import (
	"time"

	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
)

// explain adds to a wake-up which of the commands that time out now have not gone out,
// and why: so that it is not the participant that is said not to have answered.
func (e *Engine) explain(def *saga.Definition, in *saga.Instance, ev *saga.Event) {
	ev.Unsent, ev.Reason = nil, ""
	if e.unsent == nil {
		return
	}
	for i := range in.Steps {
		s := &in.Steps[i]
		if s.Sent == 0 || s.Waiting || s.Due.IsZero() || s.Due.After(ev.At) {
			continue
		}
		step := def.Step(i)
		to := outbox.Destination(step.Do.Participant)
		if s.Status == saga.Undoing {
			to = outbox.Destination(step.Undo.Participant)
		}
		why := e.unsent(to, outbox.ID{Saga: in.ID, Revision: s.Sent, Index: uint16(i)})
		if why != "" {
			ev.Unsent, ev.Reason = append(ev.Unsent, step.Name), why
		}
	}
}

// ReadRefusal is what it means for a saga that the bus will never take a command: as if
// the bus had answered in the participant's place. sent: it may have arrived all the same.
func ReadRefusal(r *outbox.Record, sent bool, err error, at time.Time) Input {
	e := &r.Envelope
	reason := err.Error()
	return Input{Saga: r.ID.Saga, Event: saga.Event{
		Type: saga.Answered, At: at, Participant: string(r.To), Step: e.Step, Direction: e.Direction, Attempt: e.Attempt,
		Outcome: saga.OutcomeNotSent, Reason: reason[:min(len(reason), 2*saga.MaxReason)], Final: sent,
	}}
}
