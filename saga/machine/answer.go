package machine

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"time"

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
// stays unknown. During compensation a do gets no further attempt.
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

// silence returns the reason for the timeout of an attempt.
func (d *decision) silence(i int, ev *Event) string {
	timeout := d.plan.action(i, ev.Direction).Timeout
	if ev.Reason != "" {
		return cut(fmt.Sprintf("not sent within %s: %s", timeout, ev.Reason))
	}
	return fmt.Sprintf("no answer within %s", timeout)
}

// turn starts compensation. If a pivot is in progress, turn only records and announces the cause:
// compensation then starts if the pivot does not complete.
func (d *decision) turn(cause Cause) {
	if d.pivotUnderWay() {
		cause.At = d.at
		d.in.PendingCause = &cause
		d.reason = cmp.Or(d.reason, cause.String())
		return
	}
	d.goBack(cause)
}

func (d *decision) pivotUnderWay() bool {
	for i := range d.in.Steps {
		if d.plan.Steps[i].Kind == contract.KindPivot && d.in.Steps[i].Do.open() {
			return true
		}
	}
	return false
}

// goBack starts compensation, unless it has started. A do between two attempts ends as unknown, a
// parked one of which nothing was sent as not taken. A do that awaits an answer may still be answered
// or time out.
func (d *decision) goBack(cause Cause) {
	if d.in.Cause != nil {
		return
	}
	cause.At = d.at
	d.in.Cause = &cause
	d.in.PendingCause = nil
	d.reason = cause.String()
	for i := range d.in.Steps {
		switch do := &d.in.Steps[i].Do; {
		case do.Waiting():
			d.close(i, contract.DirectionDo, SideUnknown, do.reason)
		case do.state == SideParkedUnasked:
			d.close(i, contract.DirectionDo, SideNotTaken, do.reason)
		}
	}
}

// wait schedules the next attempt.
func (d *decision) wait(i int, dir contract.Direction, state SideState, due time.Time, reason string) {
	d.discard(i, dir)
	d.in.Steps[i].Side(dir).wait(state, due, reason)
}

// park makes a step wait for an operator.
func (d *decision) park(i int, dir contract.Direction, state SideState, reason string) {
	d.discard(i, dir)
	side := d.in.Steps[i].Side(dir)
	side.park(state, d.at, cut(reason))
	d.reason = fmt.Sprintf("%s: %s", d.plan.Steps[i].Name, side.reason)
}

// close ends one direction of a step.
func (d *decision) close(i int, dir contract.Direction, state SideState, reason string) {
	d.discard(i, dir)
	d.in.Steps[i].Side(dir).end(state, reason)
}

// discard records that the step's last command is no longer pending.
func (d *decision) discard(i int, dir contract.Direction) {
	side := d.in.Steps[i].Side(dir)
	if side.command != 0 {
		d.eff.Discarded = append(d.eff.Discarded, CommandRef{Index: i, Step: d.plan.Steps[i].Name, Direction: dir, Revision: side.command})
		side.command = 0
	}
}

// key returns the idempotency key of one direction of a step.
func (d *decision) key(i int, dir contract.Direction) contract.Key {
	return contract.Key{Saga: d.in.ID, Birth: d.in.Birth(), Step: d.plan.Steps[i].Name, Direction: dir}
}

// cut truncates a reason to MaxReason bytes and makes it valid UTF-8.
func cut(reason string) string { return contract.Cut(reason, contract.MaxReason) }

func quoted(data []byte) []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(data))+2)
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, data)
	return append(out, '"')
}
