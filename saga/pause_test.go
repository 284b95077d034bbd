package saga_test

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/saga"
)

// A step that an operator retries while the saga is paused is attempted when it is
// resumed, at once; before and after that the answer for which it was parked may come
// again, and moves nothing (I9). Found by the simulator, whose seeds retried-in-a-pause.txt
// and resumed-after-a-retry.txt are the same with an undo that was rejected.
func TestRetryInAPause(t *testing.T) {
	for name, ev := range map[string]saga.Event{
		"failed for good":    {Outcome: saga.OutcomeFailed, Reason: "no", Final: true},
		"an unusable result": {Outcome: saga.OutcomeCompleted, Payload: []byte("{")},
	} {
		t.Run(name, func(t *testing.T) {
			def := four(t, "")
			at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			in := saga.Instance{}
			decide := func(ev saga.Event) saga.Ignored {
				t.Helper()
				ev.At = at
				after, eff, err := saga.Decide(def, in, ev)
				if err != nil {
					t.Fatal(err)
				}
				if eff.Ignored == "" {
					in = after
				}
				return eff.Ignored
			}
			ev.Type, ev.Participant, ev.Step, ev.Direction, ev.Attempt = saga.StepAnswered, "p-one", "one", saga.DirectionDo, 1
			decide(saga.Event{Type: saga.Started, ID: "order-42", Payload: []byte(`{"id":"order-42"}`)})
			decide(ev)
			if in.Phase != saga.Parked {
				t.Fatalf("phase %s", in.Phase)
			}
			decide(saga.Event{Type: saga.OperationTaken, Operation: saga.OperationPause, By: "ada", Reason: "the bank moves"})
			decide(saga.Event{Type: saga.OperationTaken, Operation: saga.OperationRetry, Step: "one", By: "ada", Reason: "it has moved"})
			if ignored := decide(ev); ignored != saga.IgnoredDuplicate {
				t.Errorf("the answer once more: ignored %q, phase %s", ignored, in.Phase)
			}
			decide(saga.Event{Type: saga.OperationTaken, Operation: saga.OperationResume, By: "ada", Reason: "go"})
			if s := in.Steps[0].Do; in.Phase != saga.Running || s.State() != saga.SideAwaitingAnswer || s.Attempt() != 2 {
				t.Errorf("phase %s, step %+v", in.Phase, s)
			}
			if ignored := decide(ev); ignored != saga.IgnoredStale {
				t.Errorf("the answer once more after the resume: ignored %q, phase %s", ignored, in.Phase)
			}
		})
	}
}
