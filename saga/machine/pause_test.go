package machine_test

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// TestRetryInAPause checks a step that an operator retries while the saga is paused. It must be
// attempted as soon as the saga is resumed. The answer that parked it may be delivered again,
// before or after that, and must change nothing (I9). The simulator found this; its seeds
// retried-in-a-pause.txt and resumed-after-a-retry.txt are the same case with a rejected undo.
func TestRetryInAPause(t *testing.T) {
	for name, ev := range map[string]machine.Event{
		"failed for good":    {Outcome: contract.OutcomeFailed, Reason: "no", Final: true},
		"an unusable result": {Outcome: contract.OutcomeCompleted, Payload: []byte("{")},
	} {
		t.Run(name, func(t *testing.T) {
			def := four(t, "")
			at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			in := machine.Instance{}
			decide := func(ev machine.Event) machine.Ignored {
				t.Helper()
				ev.At = at
				after, eff, err := machine.Decide(def.Plan(), in, ev)
				if err != nil {
					t.Fatal(err)
				}
				if eff.Ignored == "" {
					in = after
				}
				return eff.Ignored
			}
			ev.Type, ev.Participant, ev.Step, ev.Direction, ev.Attempt = contract.EventStepAnswered, "p-one", "one", contract.DirectionDo, 1
			decide(machine.Event{Type: contract.EventStarted, ID: "order-42", Payload: []byte(`{"id":"order-42"}`)})
			decide(ev)
			if in.Phase != contract.PhaseParked {
				t.Fatalf("phase %s", in.Phase)
			}
			decide(machine.Event{Type: contract.EventOperationTaken, Operation: contract.OperationPause, By: "ada", Reason: "the bank moves"})
			decide(machine.Event{Type: contract.EventOperationTaken, Operation: contract.OperationRetry, Step: "one", By: "ada", Reason: "it has moved"})
			if ignored := decide(ev); ignored != machine.IgnoredDuplicate {
				t.Errorf("the answer once more: ignored %q, phase %s", ignored, in.Phase)
			}
			decide(machine.Event{Type: contract.EventOperationTaken, Operation: contract.OperationResume, By: "ada", Reason: "go"})
			if s := in.Steps[0].Do; in.Phase != contract.PhaseRunning || s.State() != machine.SideAwaitingAnswer || s.Attempt() != 2 {
				t.Errorf("phase %s, step %+v", in.Phase, s)
			}
			if ignored := decide(ev); ignored != machine.IgnoredStale {
				t.Errorf("the answer once more after the resume: ignored %q, phase %s", ignored, in.Phase)
			}
		})
	}
}
