package machine

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// addressed returns the step that an answer is for, or the reason why the answer is ignored. The
// status of the step serves as the coordinator's inbox: an answer counts only while the step waits
// for it in the answer's direction (see answers).
//
// A completed answer counts whichever attempt it is for, because all attempts share one idempotency
// key. A rejected or failed answer counts only for the newest attempt, because another attempt may
// still complete.
func addressed(plan *Plan, in *Instance, ev *Event) (step int, ignored Ignored) {
	i, ok := plan.find(ev.Step)
	if !ok {
		return 0, IgnoredStep
	}
	switch action := plan.action(i, ev.Direction); {
	case action == nil:
		return 0, IgnoredStep
	case action.Participant != ev.Participant:
		return 0, IgnoredSender
	}
	side := in.Steps[i].Side(ev.Direction)
	heard := answers[side.state].to(ev)
	switch {
	case heard == IgnoredContradiction: // first, because a saga that was rejected has often ended
	case !in.Open():
		heard = IgnoredEnded
	case side.open() && ev.Attempt > side.attempt:
		heard = IgnoredEarly
	case side.open() && ev.Attempt < side.attempt && ev.Outcome != contract.OutcomeCompleted:
		heard = IgnoredStale
	}
	return i, heard
}

// applied means that an answer is expected, and not ignored.
const applied Ignored = ""

// reception says, for each outcome, how an answer for a do or an undo is treated.
type reception struct{ completed, rejected, undoRejected, failed Ignored }

func (r *reception) to(ev *Event) Ignored {
	switch {
	case ev.Outcome == contract.OutcomeCompleted:
		return r.completed
	case ev.Outcome == contract.OutcomeRejected && ev.Direction == contract.DirectionUndo:
		return r.undoRejected
	case ev.Outcome == contract.OutcomeRejected:
		return r.rejected
	}
	return r.failed
}

// answers says how an answer is treated in each state of the side that it is for. An answer changes
// a parked step only if it ends the step. The same holds for a step that an operator has retried
// while the saga is paused, because the answer that parked it may be delivered again. The columns are
// completed, rejected (for a do), rejected (for an undo) and failed.
var answers = [sideStates]reception{
	SideIdle:           {IgnoredDirection, IgnoredDirection, IgnoredDirection, IgnoredDirection},
	SideAwaitingAnswer: {applied, applied, applied, applied},
	SideBackingOff:     {applied, applied, applied, IgnoredDuplicate},
	SideRetryRequested: {applied, applied, IgnoredDuplicate, IgnoredDuplicate},
	SideParkedUnasked:  {IgnoredContradiction, IgnoredDirection, IgnoredDirection, IgnoredDirection},
	SideParkedUnknown:  {applied, applied, IgnoredDuplicate, IgnoredDuplicate},
	SideParkedRejected: {IgnoredContradiction, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideDone:           {IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideUndone:         {IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideRejected:       {IgnoredContradiction, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideUnknown:        {IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideNotTaken:       {IgnoredContradiction, IgnoredDirection, IgnoredDirection, IgnoredDirection},
	SideSkipped:        {IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
}

// fired returns the step of a timer, or the reason why the timer is ignored. Whether the timer is
// due depends on the event's own time and not on a later time, because earlier answers may not be
// applied yet.
func fired(plan *Plan, in *Instance, ev *Event) (step int, ignored Ignored) {
	switch {
	case !in.Open():
		return 0, IgnoredEnded
	case in.Paused != nil, ev.Timer == contract.TimerDeadline && !in.deadlineDue(ev.At):
		return 0, IgnoredNothing
	case ev.Timer != contract.TimerTimeout && ev.Timer != contract.TimerRetry:
		return 0, "" // the deadline is due; an unknown timer is not ignored either, so that fire reports it
	}
	i, ok := plan.find(ev.Step)
	if !ok {
		return 0, IgnoredStep
	}
	if side := in.Steps[i].Side(ev.Direction); side.timer() != ev.Timer || side.attempt != ev.Attempt || !side.due(ev.At) {
		return 0, IgnoredNothing
	}
	return i, ""
}

func (in *Instance) deadlineDue(at time.Time) bool {
	return !in.Deadline.IsZero() && !in.Deadline.After(at) && !in.Overdue && in.Cause == nil && in.PendingCause == nil
}

// inTime returns the reason why a saga need not be retimed, or "" if it must be.
func inTime(in *Instance, clock time.Duration) Ignored {
	switch {
	case !in.Open():
		return IgnoredEnded
	case in.ClockOffset == clock:
		return IgnoredNothing
	}
	return ""
}
