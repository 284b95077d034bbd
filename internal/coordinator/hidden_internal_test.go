package coordinator

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// The reason of a parked step may come from a participant, unless the step was never requested.
// Reasons given by the bus, the clock or an operator are not secret.
func TestWhoWroteAReason(t *testing.T) {
	parked := func(attempt int) *machine.Instance {
		side := newSide(t, contract.DirectionDo, machine.SideData{State: machine.SideParkedUnknown, Parked: time.Unix(1, 0), Attempt: attempt, Reason: "why"})
		return &machine.Instance{Steps: []machine.StepState{{Do: newSide(t, contract.DirectionDo, machine.SideData{State: machine.SideDone})}, {Do: side}}}
	}
	for name, tt := range map[string]struct {
		event machine.Event
		in    *machine.Instance
		want  bool
	}{
		"its answer":                           {machine.Event{Type: contract.EventStepAnswered, Outcome: contract.OutcomeFailed, Reason: "x"}, parked(1), true},
		"another's answer, while it is parked": {machine.Event{Type: contract.EventStepAnswered, Outcome: contract.OutcomeCompleted}, parked(1), true},
		"a mapping":                            {machine.Event{Type: contract.EventStepAnswered, Outcome: contract.OutcomeCompleted}, parked(0), false},
		"the bus":                              {machine.Event{Type: contract.EventStepAnswered, Outcome: contract.OutcomeNotSent, Reason: "too large"}, parked(0), false},
		"the clock":                            {machine.Event{Type: contract.EventTimerFired, Timer: contract.TimerTimeout, Reason: "not taken"}, parked(1), false},
		"an operator":                          {machine.Event{Type: contract.EventOperationTaken, Reason: "x"}, parked(1), false},
		"a start":                              {machine.Event{Type: contract.EventStarted}, parked(0), false},
		"a step that is not there any more":    {machine.Event{Type: contract.EventTimerFired, Timer: contract.TimerDeadline}, &machine.Instance{}, true},
	} {
		if got := theirs(&tt.event, tt.in); got != tt.want {
			t.Errorf("%s: a participant's: %v", name, got)
		}
	}
}
