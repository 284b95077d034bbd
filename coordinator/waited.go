package coordinator

import (
	"time"

	"github.com/amends-dev/amends/saga"
)

// waited is how long an answer took since its attempt was owed: the instance
// knows when the attempt times out, the definition how long an attempt may take.
// 0: the event is no answer to the attempt that was awaited.
func waited(def *saga.Definition, before *saga.Instance, ev *saga.Event) time.Duration {
	if ev.Type != saga.Answered {
		return 0
	}
	for i := range before.Steps {
		step, state := def.Step(i), &before.Steps[i]
		if step.Name != ev.Step {
			continue
		}
		action := &step.Do
		if ev.Direction == saga.DirectionUndo {
			action = step.Undo
		}
		if action == nil || state.Due.IsZero() || state.Waiting || state.Attempt != ev.Attempt {
			return 0
		}
		return max(0, ev.At.Sub(state.Due.Add(-time.Duration(action.Timeout))))
	}
	return 0
}
