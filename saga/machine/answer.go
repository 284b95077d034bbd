package machine

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
)

// answer applies a participant's answer to step i.
func (d *decision) answer(i int, ev Event) {
	switch ev.Outcome {
	case contract.OutcomeCompleted:
		d.completed(i, ev)
	case contract.OutcomeRejected:
		d.rejected(i, ev)
	case contract.OutcomeNotSent:
		d.notSent(i, ev)
	default:
		reason := ev.Reason
		if reason == "" {
			reason = "failed without a reason"
		}
		d.failed(i, ev.Direction, cut(reason), ev.Final)
	}
}

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

// taken means that an answer is expected and applied.
const taken Ignored = ""

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
// while the saga is paused, because the answer that parked it may be delivered again.
var answers = [sideStates]reception{
	SideIdle:           {IgnoredDirection, IgnoredDirection, IgnoredDirection, IgnoredDirection},
	SideAwaitingAnswer: {taken, taken, taken, taken},
	SideBackingOff:     {taken, taken, taken, IgnoredDuplicate},
	SideRetryRequested: {taken, taken, IgnoredDuplicate, IgnoredDuplicate},
	SideParkedUnasked:  {IgnoredContradiction, IgnoredDirection, IgnoredDirection, IgnoredDirection},
	SideParkedUnknown:  {taken, taken, IgnoredDuplicate, IgnoredDuplicate},
	SideParkedRejected: {IgnoredContradiction, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideDone:           {IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideUndone:         {IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideRejected:       {IgnoredContradiction, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideUnknown:        {IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
	SideNotTaken:       {IgnoredContradiction, IgnoredDirection, IgnoredDirection, IgnoredDirection},
	SideSkipped:        {IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate, IgnoredDuplicate},
}

func (d *decision) completed(i int, ev Event) {
	if ev.Direction == contract.DirectionUndo {
		d.close(i, ev.Direction, SideUndone, "")
		return
	}
	result, problem := d.result(i, ev)
	do := &d.in.Steps[i].Do
	switch {
	case problem != "" && ev.Attempt < do.attempt: // an unusable result counts as a failure
		d.eff.Ignored = IgnoredStale
		return
	case problem != "" && (do.Parked() || do.state == SideRetryRequested):
		d.eff.Ignored = IgnoredDuplicate
		return
	case problem != "":
		d.failed(i, ev.Direction, contract.ClassBadResult+": "+problem, true)
		return
	}
	d.close(i, ev.Direction, SideDone, "")
	d.keep(i, result)
	if d.plan.Steps[i].Kind == contract.KindPivot && d.in.PendingCause != nil {
		d.reason = "came too late, the pivot completed: " + d.in.PendingCause.String()
		d.in.PendingCause = nil
	}
}

// result checks a result and returns the form in which it is stored: JSON or nothing.
func (d *decision) result(i int, ev Event) (result []byte, problem string) {
	result = ev.Payload
	json := contract.IsJSON(ev.ContentType)
	if !json {
		result = quoted(result)
	}
	name := d.plan.Steps[i].Name
	switch {
	case len(result) > contract.MaxPayload:
		return nil, fmt.Sprintf("the result of %s is %d bytes long; at most %d are allowed (MaxPayload)", name, len(result), contract.MaxPayload)
	case d.in.StateBytes+len(result) > MaxState:
		return nil, fmt.Sprintf("with the result of %s the saga would hold %d bytes; at most %d are allowed (MaxState)", name, d.in.StateBytes+len(result), MaxState)
	}
	if json && len(result) > 0 {
		if err := contract.CheckJSON(result); err != nil {
			return nil, fmt.Sprintf("the result of %s is not valid JSON: %v; answer with valid JSON, or set a different content type", name, err)
		}
	}
	return result, ""
}

func (d *decision) keep(i int, result []byte) {
	d.in.Steps[i].Result = result
	d.in.StateBytes += len(result)
}

func (d *decision) rejected(i int, ev Event) {
	if ev.Direction == contract.DirectionUndo {
		d.park(i, contract.DirectionUndo, SideParkedUnknown, "the undo was rejected: "+ev.Reason)
		return
	}
	d.refuse(i, cut(ev.Reason), "")
}

// refuse ends a do that had no effect. by is the operator who says so; empty means the participant.
func (d *decision) refuse(i int, reason, by string) {
	d.close(i, contract.DirectionDo, SideRejected, reason)
	switch {
	case d.plan.Steps[i].Kind == contract.KindRetriable:
		d.park(i, contract.DirectionDo, SideParkedRejected, "rejected past the point of no return: "+reason)
	case d.in.PendingCause != nil:
		d.goBack(*d.in.PendingCause)
	default:
		d.goBack(Cause{Kind: CauseRejected, Step: d.plan.Steps[i].Name, By: by, Reason: reason})
	}
}

// notSent applies the report that the bus will never accept a command. If no command of the do was
// ever sent, the step did not happen and counts as never requested. Otherwise the report counts as
// a failure that cannot be retried.
func (d *decision) notSent(i int, ev Event) {
	reason := cut("not sent: " + ev.Reason)
	do, step := &d.in.Steps[i].Do, &d.plan.Steps[i]
	if ev.Direction == contract.DirectionUndo || do.attempt > 1 || ev.Final {
		d.failed(i, ev.Direction, reason, true)
		return
	}
	d.close(i, contract.DirectionDo, SideNotTaken, reason)
	switch {
	case step.Kind == contract.KindRetriable:
		d.park(i, contract.DirectionDo, SideParkedUnasked, reason)
	case d.in.PendingCause != nil:
		d.goBack(*d.in.PendingCause)
	default:
		d.goBack(Cause{Kind: CauseExhausted, Step: step.Name, Reason: reason})
	}
}

// failed applies a failure or a missing answer. Either a further attempt follows, or the outcome
// stays unknown.
func (d *decision) failed(i int, dir contract.Direction, reason string, final bool) {
	side := d.in.Steps[i].Side(dir)
	switch {
	case dir == contract.DirectionDo && d.in.Cause != nil:
		d.close(i, dir, SideUnknown, reason)
	case final, side.attempt >= side.maxAttempt, d.in.Revision >= MaxHistory:
		d.exhausted(i, dir, reason)
	default:
		d.wait(i, dir, SideBackingOff, d.clock().Add(backoff(d.plan.action(i, dir), d.key(i, dir), side.attempt)), reason)
	}
}

// exhausted ends the attempts. The outcome of the step is unknown.
func (d *decision) exhausted(i int, dir contract.Direction, reason string) {
	side, step := d.in.Steps[i].Side(dir), &d.plan.Steps[i]
	if dir == contract.DirectionDo && step.Kind == contract.KindCompensable {
		d.close(i, dir, SideUnknown, reason)
		d.goBack(Cause{Kind: CauseExhausted, Step: step.Name, Reason: reason})
		return
	}
	d.park(i, dir, SideParkedUnknown, fmt.Sprintf("outcome of the %s unknown after attempt %d: %s", dir, side.attempt, reason))
}
