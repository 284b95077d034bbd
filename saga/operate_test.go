package saga_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/saga"
)

// Every operation with every step, wherever the saga stands, is taken if it is legal, and
// refused with what is legal if it is not (I9): a decision about the whole saga that names a
// step once ended the process.
func TestEveryOperationWithEveryStep(t *testing.T) {
	def := four(t, "")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	by := func(operation saga.Operation, step saga.StepName) saga.Event {
		return saga.Event{Type: saga.OperationTaken, At: at, Operation: operation, Step: step, Outcome: saga.OutcomeCompleted, By: "ada", Reason: "why"}
	}
	failed := saga.Event{Type: saga.StepAnswered, At: at, Participant: "p-one", Step: "one", Direction: saga.DirectionDo, Attempt: 1, Outcome: saga.OutcomeFailed, Final: true}
	for name, events := range map[string][]saga.Event{
		"running":           nil,
		"paused":            {by(saga.OperationPause, "")},
		"parked":            {failed},
		"parked and paused": {failed, by(saga.OperationPause, "")},
		"abandoned":         {failed, by(saga.OperationAbandon, "")},
		"running and full":  nil,
		"parked and full":   {failed},
	} {
		in, err := saga.Fold(def, append([]saga.Event{{Type: saga.Started, At: at, ID: "order-42", Payload: []byte(`{"id":"order-42"}`)}}, events...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.HasSuffix(name, "full") {
			in.Revision = saga.MaxHistory + 1
		}
		legal := saga.Legal(def, &in)
		for _, operation := range []saga.Operation{
			saga.OperationCancel, saga.OperationRetry, saga.OperationResolve, saga.OperationSkip, saga.OperationCompensate, saga.OperationAbandon, saga.OperationPause, saga.OperationResume, "explode", "",
		} {
			for _, step := range []saga.StepName{"", "one", "nothing"} {
				_, _, err := saga.Decide(def, in, by(operation, step))
				if refused := (*saga.OperationError)(nil); err != nil && (!errors.As(err, &refused) || refused.Why == "") {
					t.Errorf("%s: %s %s: %v", name, operation, step, err)
				}
				matching := 0
				for _, l := range legal {
					if l.Operation == operation && (step == "" || l.Step == step) {
						matching++
					}
				}
				if (err == nil) != (matching == 1) {
					t.Errorf("%s: %s %s: %v, and legal are %v", name, operation, step, err, legal)
				}
			}
		}
	}
}
