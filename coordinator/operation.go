package coordinator

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// checkOperation refuses a decision that could not be kept in a history or sent on,
// whatever the saga; what is legal on it is Decide's to say. prefix stands before the
// names of the fields.
func checkOperation(op *transport.Decision, prefix string) error {
	var wrong violations
	wrong.operation(op, prefix)
	return wrong.err()
}

// operation adds what is wrong with the fields of a decision.
func (v *violations) operation(op *transport.Decision, prefix string) {
	for _, field := range [...]struct {
		name, value string
		most        int
	}{
		{"by", op.By, contract.MaxReason},
		{"reason", op.Reason, contract.MaxReason},
		{"operation", string(op.Operation), contract.MaxNameLength},
		{"result", string(op.Result), contract.MaxPayload},
	} {
		if len(field.value) > field.most {
			v.add(prefix+field.name, fmt.Sprintf("is %d bytes long, at most %d are allowed", len(field.value), field.most))
		}
	}
	if len(op.Result) > 0 && len(op.Result) <= contract.MaxPayload {
		if err := contract.CheckJSON(op.Result); err != nil {
			v.add(prefix+"result", "is not valid JSON: "+err.Error())
		}
	}
	if op.Step != "" {
		if err := contract.CheckName("step", string(op.Step)); err != nil {
			v.add(prefix+"step", err.Error())
		}
	}
	switch op.Outcome {
	case "", contract.OutcomeCompleted, contract.OutcomeRejected, contract.OutcomeFailed:
	default:
		v.add(prefix+"outcome", fmt.Sprintf("%q is no outcome; use completed or rejected", brief(string(op.Outcome))))
	}
}

// operated is the event of a decision.
func (s *service) operated(op *transport.Decision) machine.Event {
	return machine.Event{
		Type: contract.EventOperationTaken, At: s.c.config.Clock(), Operation: op.Operation, Step: op.Step,
		By: op.By, Reason: op.Reason, Outcome: op.Outcome, Payload: op.Result,
	}
}
