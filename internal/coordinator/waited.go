package coordinator

import (
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// waited returns the time between enqueueing a command and its answer. The command was enqueued one
// timeout before the attempt would time out. waited returns 0 if the event does not answer the
// current attempt.
func waited(def *saga.Definition, before *machine.Instance, ev *machine.Event) time.Duration {
	if ev.Type != contract.EventStepAnswered || ev.Outcome == contract.OutcomeNotSent {
		return 0
	}
	for i := range before.Steps {
		if def.Step(i).Name != ev.Step {
			continue
		}
		side, timeout := before.Steps[i].Side(ev.Direction), def.Timeout(i, ev.Direction)
		if timeout == 0 || side.State() != machine.SideAwaitingAnswer || side.Attempt() != ev.Attempt {
			return 0
		}
		return max(0, ev.At.Sub(side.Due().Add(-timeout)))
	}
	return 0
}
