package coordinator

import (
	"context"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// explain adds to the time-out of an attempt why its command has not gone out, if it has not:
// so that it is not the participant that is said not to have answered.
func (e *Engine) explain(def *saga.Definition, in *machine.Instance, ev *machine.Event) {
	if e.unsent == nil || ev.Timer != contract.TimerTimeout {
		return
	}
	for i := range in.Steps {
		step, side := def.Step(i), in.Steps[i].Side(ev.Direction)
		if step.Name != ev.Step || side.Command() == 0 {
			continue
		}
		to := outbox.Destination(step.Do.Participant)
		if ev.Direction == contract.DirectionUndo {
			to = outbox.Destination(step.Undo.Participant)
		}
		ev.Reason = e.unsent(to, outbox.ID{Saga: in.ID, Birth: in.Birth(), Revision: side.Command(), Index: uint16(i)})
	}
}

// ReadRefusal is what it means for a saga that the bus will never take a command: as if
// the bus had answered in the participant's place. sent: it may have arrived all the same.
func ReadRefusal(r *outbox.Record, sent bool, err error, at time.Time) Input {
	e := &r.Envelope
	return Input{Saga: r.ID.Saga, Birth: r.ID.Birth, Event: machine.Event{
		Type: contract.EventStepAnswered, At: at, Participant: string(r.To), Step: e.Step, Direction: e.Direction, Attempt: e.Attempt,
		Outcome: contract.OutcomeNotSent, Reason: transport.Cut(err.Error(), contract.MaxReason), Final: sent,
	}}
}

// maxRefusals bounds the refusals that wait for their shards. One that does not fit is
// heard of again when its attempt times out, and its next one is refused.
const maxRefusals = 4096

// refused takes in that the bus will never take a command. It does not wait: the relay has
// others to serve.
func (c *Coordinator) refused(r outbox.Record, sent bool, err error) {
	c.limited.Error("the bus will never take a command: its step has failed",
		LogSaga, string(r.ID.Saga), LogStep, string(r.Envelope.Step), LogDirection, string(r.Envelope.Direction),
		LogAttempt, r.Envelope.Attempt, LogError, err.Error())
	select {
	case c.refusals <- c.stamped(ReadRefusal(&r, sent, err, time.Time{})):
	default:
	}
}

// takeRefusals hands refusals to their shards. Those that are left at a stop are still
// pending, and sent and refused again after the next start.
func (c *Coordinator) takeRefusals(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case input := <-c.refusals:
			if c.put(ctx, work{input: input}) != nil {
				return nil
			}
		}
	}
}
