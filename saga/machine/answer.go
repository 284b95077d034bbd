package machine

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
)

// answer takes in a participant's answer, for the step i.
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

// addressed finds the step that an answer is for, or says why it changes none.
// The step's status is the inbox of the coordinator: an answer counts only while
// the step waits in that direction.
//
// A completed counts for every attempt so far: all attempts share one
// idempotency key, so it is the answer to all of them. A rejected or failed
// counts for the newest attempt only; another attempt may still complete.
func addressed(plan *Plan, in *Instance, ev *Event) (step int, ignored Ignored) {
	i, ok := plan.find(ev.Step)
	if !ok || (ev.Direction == contract.DirectionUndo && plan.Steps[i].Undo == nil) {
		return 0, IgnoredStep
	}
	if plan.action(i, ev.Direction).Participant != ev.Participant {
		return 0, IgnoredSender
	}
	side := in.Steps[i].Side(ev.Direction)
	switch {
	case ev.Outcome == contract.OutcomeCompleted && side.leftNothing():
		return 0, IgnoredContradiction
	case !in.Open():
		return 0, IgnoredEnded
	case side.ended():
		return 0, IgnoredDuplicate
	case !side.open():
		return 0, IgnoredDirection
	case ev.Attempt > side.attempt:
		return 0, IgnoredEarly
	case ev.Attempt < side.attempt && ev.Outcome != contract.OutcomeCompleted:
		return 0, IgnoredStale
	case side.state == SideAwaitingAnswer || ev.Outcome == contract.OutcomeCompleted:
		return i, ""
	case ev.Outcome != contract.OutcomeRejected:
		return 0, IgnoredDuplicate
	case ev.Direction == contract.DirectionUndo && side.state != SideBackingOff:
		// What it was parked for: a parked step is moved only by what ends it, and one that
		// an operator has retried in a pause has not been attempted again.
		return 0, IgnoredDuplicate
	}
	return i, ""
}

func (d *decision) completed(i int, ev Event) {
	if ev.Direction == contract.DirectionUndo {
		d.close(i, ev.Direction, SideUndone, "")
		return
	}
	result, problem := d.result(i, ev)
	do := &d.in.Steps[i].Do
	switch {
	case problem != "" && ev.Attempt < do.attempt: // what cannot be used is a failure
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

// result checks a result and brings it into the form in which it is kept: JSON,
// or nothing.
func (d *decision) result(i int, ev Event) (result []byte, problem string) {
	result = ev.Payload
	json := contract.IsJSON(ev.ContentType)
	if !json {
		result = quoted(result)
	}
	name := d.plan.Steps[i].Name
	switch {
	case len(result) > contract.MaxPayload:
		return nil, fmt.Sprintf("the result of %s is %d bytes, at most %d (MaxPayload)", name, len(result), contract.MaxPayload)
	case d.in.StateBytes+len(result) > MaxState:
		return nil, fmt.Sprintf("with the result of %s the saga would hold %d bytes, at most %d (MaxState)", name, d.in.StateBytes+len(result), MaxState)
	}
	if json && len(result) > 0 {
		if err := contract.CheckJSON(result); err != nil {
			return nil, fmt.Sprintf("the result of %s is not valid JSON: %v; answer with JSON or give another content type", name, err)
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
		d.discard(i, ev.Direction)
		d.park(i, contract.DirectionUndo, SideParkedUnknown, "the undo was rejected: "+ev.Reason)
		return
	}
	d.refuse(i, cut(ev.Reason))
}

// refuse ends a do that left no trace.
func (d *decision) refuse(i int, reason string) {
	d.close(i, contract.DirectionDo, SideRejected, reason)
	switch {
	case d.plan.Steps[i].Kind == contract.KindRetriable:
		d.park(i, contract.DirectionDo, SideParkedRejected, "rejected past the point of no return: "+reason)
	case d.in.PendingCause != nil:
		d.goBack(*d.in.PendingCause)
	default:
		d.goBack(Cause{Kind: CauseRejected, Step: d.plan.Steps[i].Name, Reason: reason})
	}
}

// notSent takes in that the bus will never take a command. A do of which nothing was
// ever sent did not happen: it is as if it had not been asked for. What else cannot be
// sent is a failure that another attempt cannot help.
func (d *decision) notSent(i int, ev Event) {
	reason := cut("not sent: " + ev.Reason)
	do, step := &d.in.Steps[i].Do, &d.plan.Steps[i]
	if ev.Direction == contract.DirectionUndo || do.attempt > 1 || ev.Final {
		d.failed(i, ev.Direction, reason, true)
		return
	}
	d.close(i, contract.DirectionDo, SideNotTaken, reason)
	do.attempt = 0
	switch {
	case step.Kind == contract.KindRetriable:
		d.park(i, contract.DirectionDo, SideParkedUnasked, reason)
	case d.in.PendingCause != nil:
		d.goBack(*d.in.PendingCause)
	default:
		d.goBack(Cause{Kind: CauseExhausted, Step: step.Name, Reason: reason})
	}
}

// failed takes in a failure or a missing answer: another attempt, or the
// outcome stays unknown.
func (d *decision) failed(i int, dir contract.Direction, reason string, final bool) {
	side := d.in.Steps[i].Side(dir)
	d.discard(i, dir)
	side.reason = reason
	switch {
	case dir == contract.DirectionDo && d.in.Cause != nil:
		side.end(SideUnknown, reason)
	case final, side.attempt >= side.maxAttempt, d.in.Revision >= MaxHistory:
		d.exhausted(i, dir, reason)
	default:
		side.wait(SideBackingOff, d.clock().Add(backoff(d.plan.action(i, dir), d.key(i, dir), side.attempt)))
	}
}

// exhausted gives up asking: what became of the step is unknown.
func (d *decision) exhausted(i int, dir contract.Direction, reason string) {
	side, step := d.in.Steps[i].Side(dir), &d.plan.Steps[i]
	if dir == contract.DirectionDo && step.Kind == contract.KindCompensable {
		side.end(SideUnknown, reason)
		d.goBack(Cause{Kind: CauseExhausted, Step: step.Name, Reason: reason})
		return
	}
	d.park(i, dir, SideParkedUnknown, fmt.Sprintf("outcome of the %s unknown after attempt %d: %s", dir, side.attempt, reason))
}

// close ends one direction of a step.
func (d *decision) close(i int, dir contract.Direction, state SideState, reason string) {
	d.discard(i, dir)
	d.in.Steps[i].Side(dir).end(state, reason)
}
