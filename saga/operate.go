package saga

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amends-dev/amends/compensation"
)

// LegalVerb is a verb that may be used now, and on which step; Step is empty for
// verbs about the whole saga.
type LegalVerb struct {
	Verb Verb
	Step StepName
}

func (v LegalVerb) String() string {
	if v.Step == "" {
		return string(v.Verb)
	}
	return string(v.Verb) + " " + string(v.Step)
}

// VerbError says why a decision is not legal now, and which ones are.
type VerbError struct {
	Verb  Verb
	Step  StepName
	Why   string
	Legal []LegalVerb
}

func (e *VerbError) Error() string {
	words := make([]string, len(e.Legal))
	for i, v := range e.Legal {
		words[i] = v.String()
	}
	legal := "no verb is legal now"
	if len(words) > 0 {
		legal = "legal now: " + strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s: %s; %s", LegalVerb{e.Verb, e.Step}, e.Why, legal)
}

// Legal returns the verbs that may be used on the saga as it stands.
func Legal(def *Definition, in *Instance) []LegalVerb {
	if !in.Open() || in.Revision == 0 {
		return nil
	}
	var legal []LegalVerb
	back := in.Cause == nil && !compensation.BeyondReturn(&def.tree, in.State)
	parkedPivot := false
	for i := range in.Steps {
		side, step := in.Steps[i].Current(), &def.steps[i]
		parked := side.Parked()
		if step.Kind == KindPivot && parked {
			parkedPivot = true
		}
		if (side.Waiting() || parked) && side.state != SideParkedRejected {
			legal = append(legal, LegalVerb{VerbRetry, step.Name})
		}
		if side.Waiting() || parked {
			legal = append(legal, LegalVerb{VerbResolve, step.Name})
		}
		if parked {
			legal = append(legal, LegalVerb{VerbSkip, step.Name})
		}
	}
	switch {
	case back && parkedPivot:
		legal = append(legal, LegalVerb{Verb: VerbCompensate})
	case back && in.PendingCause == nil:
		legal = append(legal, LegalVerb{Verb: VerbCancel})
	}
	if in.Phase == Parked {
		legal = append(legal, LegalVerb{Verb: VerbAbandon})
	}
	if in.Paused != nil {
		legal = append(legal, LegalVerb{Verb: VerbResume})
	} else {
		legal = append(legal, LegalVerb{Verb: VerbPause})
	}
	return legal
}

// operate takes in a person's decision.
func (d *decision) operate(ev Event) error {
	if strings.TrimSpace(ev.By) == "" || strings.TrimSpace(ev.Reason) == "" {
		return d.illegal(ev, "give a reason and your name: both become part of the history")
	}
	if len(ev.By) > MaxReason || len(ev.Reason) > MaxReason {
		return d.illegal(ev, fmt.Sprintf("reason and name may have %d bytes each", MaxReason))
	}
	if (ev.Verb == VerbRetry || ev.Verb == VerbPause) && d.in.Revision > MaxHistory {
		return d.illegal(ev, fmt.Sprintf("the saga has had %d events (MaxHistory) and is neither retried nor paused any more", MaxHistory))
	}
	step, err := d.legal(ev)
	if err != nil {
		return err
	}
	i, _ := d.def.find(step)
	cause := Cause{Reason: ev.Reason, By: ev.By}
	d.reason = fmt.Sprintf("%s by %s: %s", LegalVerb{ev.Verb, step}, ev.By, ev.Reason)
	switch ev.Verb {
	case VerbCancel:
		cause.Why = WhyCancelled
		d.turn(cause)
	case VerbCompensate:
		d.vouch()
		cause.Why = WhyOperator
		d.goBack(cause)
	case VerbAbandon:
		d.abandon()
	case VerbPause:
		d.pause(ev)
	case VerbResume:
		d.resume()
	case VerbRetry:
		d.retry(i)
	case VerbResolve:
		return d.resolve(i, ev)
	case VerbSkip:
		d.close(i, d.in.Steps[i].Direction(), SideSkipped, "")
		if d.def.steps[i].Kind == KindPivot {
			d.in.PendingCause = nil
		}
	}
	return nil
}

// legal finds the step a verb is about, which need not be named when there is
// only one that it can be about.
func (d *decision) legal(ev Event) (StepName, error) {
	var found []LegalVerb
	for _, v := range Legal(d.def, &d.in) {
		if v.Verb == ev.Verb && (ev.Step == "" || ev.Step == v.Step) {
			found = append(found, v)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].Step, nil
	case len(found) > 1:
		return "", d.illegal(ev, "name the step")
	}
	return "", d.illegal(ev, d.whyNot(ev))
}

func (d *decision) whyNot(ev Event) string {
	beyond := compensation.BeyondReturn(&d.def.tree, d.in.State)
	goingBack := ev.Verb == VerbCancel || ev.Verb == VerbCompensate
	if ev.Step != "" && slices.Contains(Legal(d.def, &d.in), LegalVerb{Verb: ev.Verb}) {
		return "this is about the whole saga; leave the step out"
	}
	switch {
	case !d.in.Open() && d.in.Phase == Parked:
		return "the saga was abandoned"
	case !d.in.Open():
		return fmt.Sprintf("the saga has ended: %s", d.in.Phase)
	case goingBack && beyond:
		return "the saga is beyond its point of no return and only goes forward"
	case goingBack && d.in.Cause != nil:
		return "the saga goes back already: " + d.in.Cause.brief()
	case ev.Verb == VerbCancel && d.in.PendingCause != nil:
		return "that was asked before; it is decided when the pivot, which is under way, settles"
	case ev.Verb == VerbCancel:
		return "the outcome of the pivot is unknown"
	case ev.Verb == VerbCompensate || ev.Verb == VerbAbandon || ev.Verb == VerbSkip:
		return "nothing is parked there"
	case ev.Verb == VerbPause:
		return fmt.Sprintf("the saga is paused already, by %s: %s", d.in.Paused.By, d.in.Paused.Reason)
	case ev.Verb == VerbResume:
		return "the saga is not paused"
	case ev.Verb == VerbRetry || ev.Verb == VerbResolve:
		return "the step does not wait for another attempt and is not parked"
	}
	return "there is no such verb; use cancel, retry, resolve, skip, compensate, abandon, pause or resume"
}

func (d *decision) illegal(ev Event, why string) error {
	return &VerbError{Verb: ev.Verb, Step: ev.Step, Why: why, Legal: Legal(d.def, &d.in)}
}

// vouch takes the operator's word that the parked pivot did not happen.
func (d *decision) vouch() {
	for i := range d.in.Steps {
		if d.def.steps[i].Kind == KindPivot {
			d.close(i, DirectionDo, SideRejected, "")
		}
	}
}

func (d *decision) abandon() {
	for i := range d.in.Steps {
		s := &d.in.Steps[i]
		d.settle(i, s.Direction())
		s.Current().stop()
	}
	d.in.Ended = d.at
	d.in.Paused = nil
}

func (d *decision) retry(i int) {
	dir := d.in.Steps[i].Direction()
	side := d.in.Steps[i].Side(dir)
	if side.state == SideParkedUnasked { // advance asks for it
		*side = Side{}
		return
	}
	side.reason, side.maxAttempt = "", side.attempt+d.def.action(i, dir).Retry.Attempts
	if d.in.Paused != nil {
		side.wait(SideRetryRequested, d.clock())
		return
	}
	d.attempt(i, dir)
}

func (d *decision) resolve(i int, ev Event) error {
	dir := d.in.Steps[i].Direction()
	beyond := d.def.steps[i].Kind == KindRetriable
	switch {
	case ev.Outcome == OutcomeCompleted && dir == DirectionUndo:
		d.close(i, dir, SideUndone, "")
	case ev.Outcome == OutcomeCompleted:
		result, problem := d.result(i, Event{Payload: ev.Payload})
		if problem != "" {
			return d.illegal(ev, problem)
		}
		d.close(i, dir, SideDone, "")
		d.keep(i, result)
		d.in.PendingCause = nil
	case ev.Outcome == OutcomeRejected && dir == DirectionDo && !beyond:
		d.refuse(i, ev.Reason)
	case ev.Outcome == OutcomeRejected:
		return d.illegal(ev, "beyond the point of no return and when going back a step can be resolved as completed only; use skip to leave it as it is")
	default:
		return d.illegal(ev, "resolve needs the outcome that was reached outside: completed, with its result, or rejected")
	}
	return nil
}
