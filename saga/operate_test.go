package saga_test

import (
	"errors"
	"testing"
	"time"

	"github.com/amends-dev/amends/saga"
)

// Every verb with every step, wherever the saga stands, is taken or refused with what
// is legal (I9): a decision about the whole saga that names a step once ended the
// process.
func TestEveryVerbWithEveryStep(t *testing.T) {
	def := four(t, "")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	by := func(verb saga.Verb, step saga.StepName) saga.Event {
		return saga.Event{Type: saga.Operated, At: at, Verb: verb, Step: step, By: "ada", Reason: "why"}
	}
	failed := saga.Event{Type: saga.Answered, At: at, Participant: "p-one", Step: "one", Direction: saga.DirectionDo, Attempt: 1, Outcome: saga.OutcomeFailed, Final: true}
	for name, events := range map[string][]saga.Event{
		"running":           nil,
		"paused":            {by(saga.VerbPause, "")},
		"parked":            {failed},
		"parked and paused": {failed, by(saga.VerbPause, "")},
		"abandoned":         {failed, by(saga.VerbAbandon, "")},
	} {
		in, err := saga.Fold(def, append([]saga.Event{{Type: saga.Started, At: at, ID: "order-42", Payload: []byte(`{"id":"order-42"}`)}}, events...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, verb := range []saga.Verb{
			saga.VerbCancel, saga.VerbRetry, saga.VerbResolve, saga.VerbSkip, saga.VerbCompensate, saga.VerbAbandon, saga.VerbPause, saga.VerbResume, "explode", "",
		} {
			for _, step := range []saga.StepName{"", "one", "nothing"} {
				_, _, err := saga.Decide(def, in, by(verb, step))
				if refused := (*saga.VerbError)(nil); err != nil && (!errors.As(err, &refused) || refused.Why == "") {
					t.Errorf("%s: %s %s: %v", name, verb, step, err)
				}
			}
		}
	}
}
