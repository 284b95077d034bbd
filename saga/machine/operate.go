package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// OperationError says why an operation is not legal now, and which operations are.
type OperationError struct {
	Operation contract.Operation
	Step      contract.StepName
	Why       string
	Legal     []contract.LegalOperation
}

// Brief returns the error text without the legal operations.
func (e *OperationError) Brief() string {
	return fmt.Sprintf("%s: %s", contract.LegalOperation{Operation: e.Operation, Step: e.Step}, e.Why)
}

func (e *OperationError) Error() string {
	if len(e.Legal) == 0 {
		return e.Brief() + "; no operation is legal now"
	}
	words := make([]string, len(e.Legal))
	for i, v := range e.Legal {
		words[i] = v.String()
	}
	return e.Brief() + "; legal now: " + strings.Join(words, ", ")
}

// full reports whether a saga has so many recorded events that it can no longer be retried or
// paused.
func full(recorded uint64) bool { return recorded >= MaxHistory }

// Legal returns the operations that are legal in the current state of the saga.
func Legal(plan *Plan, in *Instance) []contract.LegalOperation {
	return legalOperations(plan, in, full(in.Revision))
}

func legalOperations(plan *Plan, in *Instance, full bool) []contract.LegalOperation {
	if !in.Open() || in.Revision == 0 {
		return nil
	}
	var legal []contract.LegalOperation
	back := in.Cause == nil && !compensation.PastPivot(&plan.Tree, in.State)
	parkedPivot := false
	for i := range in.Steps {
		side, step := in.Steps[i].Current(), &plan.Steps[i]
		parked := side.Parked()
		if step.Kind == contract.KindPivot && parked {
			parkedPivot = true
		}
		if (side.Waiting() || parked) && side.state != SideParkedRejected && !full {
			legal = append(legal, contract.LegalOperation{Operation: contract.OperationRetry, Step: step.Name})
		}
		if side.Waiting() || parked {
			legal = append(legal, contract.LegalOperation{Operation: contract.OperationResolve, Step: step.Name})
		}
		if parked {
			legal = append(legal, contract.LegalOperation{Operation: contract.OperationSkip, Step: step.Name})
		}
	}
	switch {
	case back && parkedPivot:
		legal = append(legal, contract.LegalOperation{Operation: contract.OperationCompensate})
	case back && in.PendingCause == nil:
		legal = append(legal, contract.LegalOperation{Operation: contract.OperationCancel})
	}
	if in.Phase == contract.PhaseParked {
		legal = append(legal, contract.LegalOperation{Operation: contract.OperationAbandon})
	}
	switch {
	case in.Paused != nil:
		legal = append(legal, contract.LegalOperation{Operation: contract.OperationResume})
	case !full:
		legal = append(legal, contract.LegalOperation{Operation: contract.OperationPause})
	}
	return legal
}

// operate applies an operator's operation.
func (d *decision) operate(ev Event) error {
	if strings.TrimSpace(ev.By) == "" || strings.TrimSpace(ev.Reason) == "" {
		return d.illegal(ev, "give a reason and your name: both become part of the history")
	}
	if len(ev.By) > contract.MaxReason || len(ev.Reason) > contract.MaxReason {
		return d.illegal(ev, fmt.Sprintf("reason and name can have at most %d bytes each", contract.MaxReason))
	}
	step, err := d.legal(ev)
	if err != nil {
		return err
	}
	i, _ := d.plan.find(step)
	cause := Cause{Reason: ev.Reason, By: ev.By}
	d.reason = fmt.Sprintf("%s by %s: %s", contract.LegalOperation{Operation: ev.Operation, Step: step}, ev.By, ev.Reason)
	switch ev.Operation {
	case contract.OperationCancel:
		cause.Kind = CauseCancelled
		d.turn(cause)
	case contract.OperationCompensate:
		d.vouch()
		cause.Kind = CauseOperator
		d.goBack(cause)
	case contract.OperationAbandon:
		d.abandon()
	case contract.OperationPause:
		d.pause(ev)
	case contract.OperationResume:
		d.resume()
	case contract.OperationRetry:
		d.retry(i)
	case contract.OperationResolve:
		return d.resolve(i, ev)
	case contract.OperationSkip:
		d.close(i, d.in.Steps[i].Direction(), SideSkipped, "")
		if d.plan.Steps[i].Kind == contract.KindPivot {
			d.in.PendingCause = nil
		}
	}
	return nil
}

// full reports whether the history was full before this decision.
func (d *decision) full() bool { return full(d.in.Revision - 1) }

func (d *decision) legalOperations() []contract.LegalOperation {
	return legalOperations(d.plan, &d.in, d.full())
}

// legal returns the step that an operation concerns. The operation need not name the step if only
// one step is possible.
func (d *decision) legal(ev Event) (contract.StepName, error) {
	var found []contract.LegalOperation
	for _, v := range d.legalOperations() {
		if v.Operation == ev.Operation && (ev.Step == "" || ev.Step == v.Step) {
			found = append(found, v)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].Step, nil
	case len(found) > 1:
		return "", d.illegal(ev, "the operation is possible for several steps; name the step")
	}
	return "", d.illegal(ev, d.whyNot(ev))
}

func (d *decision) whyNot(ev Event) string {
	beyond := compensation.PastPivot(&d.plan.Tree, d.in.State)
	goingBack := ev.Operation == contract.OperationCancel || ev.Operation == contract.OperationCompensate
	if ev.Step != "" && slices.Contains(d.legalOperations(), contract.LegalOperation{Operation: ev.Operation}) {
		return "the operation applies to the whole saga; omit the step"
	}
	switch {
	case !d.in.Open() && d.in.Phase == contract.PhaseParked:
		return "the saga was abandoned"
	case !d.in.Open():
		return fmt.Sprintf("the saga has ended: %s", d.in.Phase)
	case (ev.Operation == contract.OperationRetry || ev.Operation == contract.OperationPause) && d.full():
		return fmt.Sprintf("the saga has had %d events (MaxHistory) and can no longer be retried or paused", MaxHistory)
	case goingBack && beyond:
		return "the saga is past its point of no return and only goes forward"
	case goingBack && d.in.Cause != nil:
		return "the saga is being compensated already: " + d.in.Cause.brief()
	case ev.Operation == contract.OperationCancel && d.in.PendingCause != nil:
		return "the saga will be compensated unless the pivot, which is in progress, completes: " + d.in.PendingCause.brief()
	case ev.Operation == contract.OperationCancel:
		return "the outcome of the pivot is unknown; compensate instead, once you know that it had no effect"
	case ev.Operation == contract.OperationCompensate || ev.Operation == contract.OperationAbandon || ev.Operation == contract.OperationSkip:
		return "nothing is parked to which the operation applies"
	case ev.Operation == contract.OperationPause:
		return fmt.Sprintf("the saga is paused already, by %s: %s", d.in.Paused.By, d.in.Paused.Reason)
	case ev.Operation == contract.OperationResume:
		return "the saga is not paused"
	case ev.Operation == contract.OperationRetry && d.rejectedPastPivot(ev.Step):
		return "the step was rejected past the point of no return; resolve it as completed, skip it, or abandon the saga"
	case ev.Operation == contract.OperationRetry || ev.Operation == contract.OperationResolve:
		return "the step does not wait for another attempt and is not parked"
	}
	return "there is no such operation; use cancel, retry, resolve, skip, compensate, abandon, pause or resume"
}

// rejectedPastPivot reports whether a step is parked because it was rejected. The name "" means any
// step.
func (d *decision) rejectedPastPivot(name contract.StepName) bool {
	for i := range d.in.Steps {
		if d.in.Steps[i].Current().state == SideParkedRejected && (name == "" || name == d.plan.Steps[i].Name) {
			return true
		}
	}
	return false
}

func (d *decision) illegal(ev Event, why string) error {
	return &OperationError{Operation: ev.Operation, Step: ev.Step, Why: why, Legal: d.legalOperations()}
}

// vouch records the operator's statement that the parked pivot did not happen.
func (d *decision) vouch() {
	for i := range d.in.Steps {
		if d.plan.Steps[i].Kind == contract.KindPivot {
			d.close(i, contract.DirectionDo, SideRejected, "")
		}
	}
}

func (d *decision) abandon() {
	for i := range d.in.Steps {
		s := &d.in.Steps[i]
		d.discard(i, s.Direction())
		s.Current().stop()
	}
	d.in.Ended = d.at
	d.in.Paused = nil
}

func (d *decision) retry(i int) {
	dir := d.in.Steps[i].Direction()
	side := d.in.Steps[i].Side(dir)
	if side.state == SideParkedUnasked { // advance requests it
		d.close(i, dir, SideIdle, "")
		return
	}
	side.allow(d.plan.action(i, dir).Attempts)
	if d.in.Paused != nil {
		d.wait(i, dir, SideRetryRequested, d.clock(), "")
		return
	}
	d.attempt(i, dir)
}

func (d *decision) resolve(i int, ev Event) error {
	dir := d.in.Steps[i].Direction()
	beyond := d.plan.Steps[i].Kind == contract.KindRetriable
	switch {
	case ev.Outcome == contract.OutcomeCompleted && dir == contract.DirectionUndo:
		d.close(i, dir, SideUndone, "")
	case ev.Outcome == contract.OutcomeCompleted:
		result, problem := d.result(i, Event{Payload: ev.Payload})
		if problem != "" {
			return d.illegal(ev, problem)
		}
		d.close(i, dir, SideDone, "")
		d.keep(i, result)
		if d.plan.Steps[i].Kind == contract.KindPivot {
			d.in.PendingCause = nil
		}
	case ev.Outcome == contract.OutcomeRejected && dir == contract.DirectionDo && !beyond:
		d.refuse(i, ev.Reason, ev.By)
	case ev.Outcome == contract.OutcomeRejected:
		return d.illegal(ev, "after the point of no return, and in compensation, a step can only be resolved as completed; use skip to leave it as it is")
	default:
		return d.illegal(ev, "resolve needs the actual outcome of the step: completed, with its result, or rejected")
	}
	return nil
}
