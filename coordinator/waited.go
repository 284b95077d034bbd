package coordinator

import (
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// waited returns how long an answer took since its command was enqueued. It is computed from when
// the attempt times out and how long an attempt may take. 0 means that the event does not answer
// the current attempt.
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
