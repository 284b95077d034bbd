package sagapb

import (
	"math"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Generators of arbitrary states: not only those that Decide produces, but any that the types allow
// and Append accepts.

var (
	names = rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`)
	ids   = rapid.StringMatching(`[A-Za-z0-9_:=@-]{1,128}`)
	// texts are from other programs, so they can have any bytes.
	texts = rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }))
	// data is nil, empty or not empty.
	data = rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 60))
	// moments are zero or a time that can be encoded, in some time zone.
	moments = rapid.OneOf(rapid.Just(time.Time{}), someMoments)

	someMoments = rapid.Custom(func(t *rapid.T) time.Time {
		nano := rapid.Int64().Filter(func(n int64) bool { return n != 0 }).Draw(t, "nano")
		return time.Unix(0, nano).In(time.FixedZone("", rapid.IntRange(-12, 12).Draw(t, "zone")*3600))
	})
)

func word[W ~string](words ...W) *rapid.Generator[W] { return rapid.SampledFrom(words) }

var (
	phases         = word(contract.PhaseRunning, contract.PhaseCompensating, contract.PhaseCompleted, contract.PhaseCompensated, contract.PhaseParked)
	someCauses     = word(machine.CauseRejected, machine.CauseExhausted, machine.CauseMappingFailed, machine.CauseDeadline, machine.CauseCancelled, machine.CauseOperator)
	someTypes      = word(contract.EventStarted, contract.EventStepAnswered, contract.EventTimerFired, contract.EventOperationTaken)
	someTimers     = word("", contract.TimerTimeout, contract.TimerRetry, contract.TimerDeadline)
	directions     = word("", contract.DirectionDo, contract.DirectionUndo)
	outcomes       = word("", contract.OutcomeCompleted, contract.OutcomeRejected, contract.OutcomeFailed)
	someOperations = word("", contract.OperationCancel, contract.OperationRetry, contract.OperationResolve, contract.OperationSkip, contract.OperationCompensate, contract.OperationAbandon, contract.OperationPause, contract.OperationResume)
)

var causes = rapid.Custom(func(t *rapid.T) *machine.Cause {
	if rapid.Bool().Draw(t, "none") {
		return nil
	}
	return &machine.Cause{
		Kind:   someCauses.Draw(t, "kind"),
		Step:   contract.StepName(names.Draw(t, "step")),
		Reason: texts.Draw(t, "reason"),
		By:     texts.Draw(t, "by"),
		At:     moments.Draw(t, "at"),
	}
})

var stepStates = rapid.Custom(func(t *rapid.T) machine.StepState {
	return machine.StepState{
		Do: sides(contract.DirectionDo).Draw(t, "do"), Undo: sides(contract.DirectionUndo).Draw(t, "undo"), Result: data.Draw(t, "result"),
	}
})

func sides(direction contract.Direction) *rapid.Generator[machine.Side] {
	return rapid.Custom(func(t *rapid.T) machine.Side {
		d := machine.SideData{
			State:      machine.SideState(rapid.IntRange(0, int(machine.SideSkipped)).Draw(t, "state")),
			Attempt:    rapid.IntRange(0, math.MaxInt).Draw(t, "attempt"),
			MaxAttempt: rapid.IntRange(0, math.MaxInt).Draw(t, "most attempts"),
			Reason:     texts.Draw(t, "reason"),
		}
		switch d.State {
		case machine.SideIdle:
			d = machine.SideData{}
		case machine.SideAwaitingAnswer:
			d.Due, d.Command = moments.Draw(t, "due"), rapid.Uint64().Draw(t, "command")
		case machine.SideBackingOff, machine.SideRetryRequested:
			d.Due = noon.Add(time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "due")))
		case machine.SideParkedUnasked, machine.SideParkedUnknown, machine.SideParkedRejected:
			d.Parked = noon.Add(time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "parked")))
		}
		side, err := machine.NewSide(direction, d)
		if err != nil { // a state of the other direction
			return machine.Side{}
		}
		return side
	})
}

var pauses = rapid.Custom(func(t *rapid.T) *machine.Pause {
	if rapid.Bool().Draw(t, "goes on") {
		return nil
	}
	return &machine.Pause{At: someMoments.Draw(t, "since"), By: texts.Draw(t, "by"), Reason: texts.Draw(t, "why")}
})

var instances = rapid.Custom(func(t *rapid.T) *machine.Instance {
	steps := rapid.SliceOfN(stepStates, 0, 8).Draw(t, "steps")
	if len(steps) == 0 && rapid.Bool().Draw(t, "nil steps") {
		steps = nil
	}
	return &machine.Instance{
		Start: machine.Start{
			ID:          contract.SagaID(ids.Draw(t, "id")),
			Definition:  contract.DefinitionRef{Name: names.Draw(t, "definition"), Version: rapid.IntRange(1, 1<<40).Draw(t, "version")},
			Fingerprint: texts.Draw(t, "fingerprint"),
			Input:       data.Draw(t, "input"),
			ContentType: texts.Draw(t, "content type"),
			TraceParent: texts.Draw(t, "trace parent"),
			Started:     someMoments.Draw(t, "started"),
		},
		Revision:     rapid.Uint64Min(1).Draw(t, "revision"),
		Phase:        phases.Draw(t, "phase"),
		Updated:      moments.Draw(t, "updated"),
		Ended:        moments.Draw(t, "ended"),
		Deadline:     moments.Draw(t, "deadline"),
		Overdue:      rapid.Bool().Draw(t, "overdue"),
		Cause:        causes.Draw(t, "cause"),
		PendingCause: causes.Draw(t, "pending cause"),
		Paused:       pauses.Draw(t, "paused"),
		Steps:        steps,
		StateBytes:   rapid.Int().Draw(t, "state bytes"),
	}
})

var events = rapid.Custom(func(t *rapid.T) *machine.Event {
	return &machine.Event{
		Type:        someTypes.Draw(t, "type"),
		At:          someMoments.Draw(t, "at"),
		ID:          contract.SagaID(ids.Draw(t, "id")),
		Payload:     data.Draw(t, "payload"),
		ContentType: texts.Draw(t, "content type"),
		TraceParent: texts.Draw(t, "trace parent"),
		Participant: names.Draw(t, "participant"),
		Step:        contract.StepName(names.Draw(t, "step")),
		Direction:   directions.Draw(t, "direction"),
		Attempt:     rapid.Int().Draw(t, "attempt"),
		Outcome:     outcomes.Draw(t, "outcome"),
		Reason:      texts.Draw(t, "reason"),
		Final:       rapid.Bool().Draw(t, "final"),
		Operation:   someOperations.Draw(t, "operation"),
		Timer:       someTimers.Draw(t, "timer"),
		By:          texts.Draw(t, "by"),
	}
})
