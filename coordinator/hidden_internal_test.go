package coordinator

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/saga"
)

// A participant may have written what a parked step says, unless the step was never asked
// for; what the bus, the clock or an operator says is nobody's secret.
func TestWhoWroteAReason(t *testing.T) {
	parked := func(attempt int) *saga.Instance {
		side := newSide(t, saga.DirectionDo, saga.SideData{State: saga.SideParkedUnknown, Parked: time.Unix(1, 0), Attempt: attempt, Reason: "why"})
		return &saga.Instance{Steps: []saga.StepState{{Do: newSide(t, saga.DirectionDo, saga.SideData{State: saga.SideDone})}, {Do: side}}}
	}
	for name, tt := range map[string]struct {
		event saga.Event
		in    *saga.Instance
		want  bool
	}{
		"its answer":                           {saga.Event{Type: saga.StepAnswered, Outcome: saga.OutcomeFailed, Reason: "x"}, parked(1), true},
		"another's answer, while it is parked": {saga.Event{Type: saga.StepAnswered, Outcome: saga.OutcomeCompleted}, parked(1), true},
		"a mapping":                            {saga.Event{Type: saga.StepAnswered, Outcome: saga.OutcomeCompleted}, parked(0), false},
		"the bus":                              {saga.Event{Type: saga.StepAnswered, Outcome: saga.OutcomeNotSent, Reason: "too large"}, parked(0), false},
		"the clock":                            {saga.Event{Type: saga.TimerFired, Timer: saga.TimerTimeout, Reason: "not taken"}, parked(1), false},
		"an operator":                          {saga.Event{Type: saga.OperationTaken, Reason: "x"}, parked(1), false},
		"a start":                              {saga.Event{Type: saga.Started}, parked(0), false},
		"a step that is not there any more":    {saga.Event{Type: saga.TimerFired, Timer: saga.TimerDeadline}, &saga.Instance{}, true},
	} {
		if got := theirs(&tt.event, &Result{Instance: tt.in}); got != tt.want {
			t.Errorf("%s: a participant's: %v", name, got)
		}
	}
}
