package machine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// TestEveryOperationWithEveryStep checks every operation with every step in every state. A legal
// operation must be applied, and any other must be refused with the list of legal ones (I9). An
// operation on the whole saga that named a step once crashed the process.
func TestEveryOperationWithEveryStep(t *testing.T) {
	def := four(t, "")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	by := func(operation contract.Operation, step contract.StepName) machine.Event {
		return machine.Event{Type: contract.EventOperationTaken, At: at, Operation: operation, Step: step, Outcome: contract.OutcomeCompleted, By: "ada", Reason: "why"}
	}
	failed := machine.Event{Type: contract.EventStepAnswered, At: at, Participant: "p-one", Step: "one", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeFailed, Final: true}
	for name, events := range map[string][]machine.Event{
		"running":              nil,
		"paused":               {by(contract.OperationPause, "")},
		"parked":               {failed},
		"parked and paused":    {failed, by(contract.OperationPause, "")},
		"abandoned":            {failed, by(contract.OperationAbandon, "")},
		"running, nearly full": nil,
		"running and full":     nil,
		"parked, nearly full":  {failed},
		"parked and full":      {failed},
		"parked and too full":  {failed},
	} {
		in, err := machine.Fold(def.Plan(), append([]machine.Event{{Type: contract.EventStarted, At: at, ID: "order-42", Payload: []byte(`{"id":"order-42"}`)}}, events...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch {
		case strings.HasSuffix(name, "nearly full"):
			in.Revision = machine.MaxHistory - 1
		case strings.HasSuffix(name, "too full"):
			in.Revision = machine.MaxHistory + 1
		case strings.HasSuffix(name, "full"):
			in.Revision = machine.MaxHistory
		}
		legal := machine.Legal(def.Plan(), &in)
		for _, operation := range []contract.Operation{
			contract.OperationCancel, contract.OperationRetry, contract.OperationResolve, contract.OperationSkip, contract.OperationCompensate, contract.OperationAbandon, contract.OperationPause, contract.OperationResume, "explode", "",
		} {
			for _, step := range []contract.StepName{"", "one", "nothing"} {
				_, _, err := machine.Decide(def.Plan(), in, by(operation, step))
				if refused := (*machine.OperationError)(nil); err != nil && (!errors.As(err, &refused) || refused.Why == "") {
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

// TestRefusedDecisionQuotesNobody checks that the error for an illegal operation says why the saga
// compensates, but does not quote a participant's reason.
func TestRefusedDecisionQuotesNobody(t *testing.T) {
	def, err := saga.New(saga.Spec{Name: "d", Version: 1, Steps: []saga.Node{
		{Step: &saga.Step{Name: "one", Kind: contract.KindCompensable, Do: saga.Action{Participant: "p", Action: "act"}, Undo: &saga.Action{Participant: "p", Action: "undo"}}},
		{Step: &saga.Step{Name: "two", Kind: contract.KindCompensable, Do: saga.Action{Participant: "p", Action: "act"}, NothingToUndo: true}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	in, err := machine.Fold(def.Plan(), []machine.Event{
		{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(`{}`)},
		{Type: contract.EventStepAnswered, At: epoch, Participant: "p", Step: "one", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted},
		{Type: contract.EventStepAnswered, At: epoch, Participant: "p", Step: "two", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeRejected, Reason: "card 4111-1111"},
	})
	if err != nil || in.Phase != contract.PhaseCompensating {
		t.Fatalf("%+v, %v", in, err)
	}
	_, _, err = machine.Decide(def.Plan(), in, machine.Event{Type: contract.EventOperationTaken, At: epoch, Operation: contract.OperationCancel, By: "kim", Reason: "no"})
	if err == nil || !strings.Contains(err.Error(), "the saga is being compensated already: rejected at two;") {
		t.Errorf("%v", err)
	}
}
