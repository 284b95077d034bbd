package coordinator

import (
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// explain sets the reason of a timed-out attempt if its command was not sent. Without this reason,
// the participant would be blamed for not answering.
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
