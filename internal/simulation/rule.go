package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// onlyCommittedLeaves checks that messages are sent and callers are answered only for committed
// changes (I1).
func onlyCommittedLeaves(a *audit, r *Record) string {
	switch r.Kind {
	case Sent:
		if a.messages[r.Message] == nil {
			return fmt.Sprintf("%s was sent, but no commit enqueues it", r.Message)
		}
	case Accepted:
		if acc := a.account(r); acc.last == nil || acc.last.Revision < r.Revision {
			return fmt.Sprintf("the start of %s was accepted before it was committed", r.Saga)
		}
	}
	return ""
}

// acknowledgedAfterCommit checks that an answer is acknowledged only when it would no longer change
// anything, and a command only after it is answered (I1).
func acknowledgedAfterCommit(a *audit, r *Record) string {
	switch r.Kind {
	case Acknowledged:
		acc := a.account(r)
		if acc.last == nil || r.Saga == "" || acc.shared { // a copy of the store may have sent the command
			return ""
		}
		if _, eff, err := machine.Decide(acc.def.Plan(), *acc.last, *r.Answer); err == nil && eff.Ignored == "" {
			return fmt.Sprintf("the answer %s/%s/%s/%d was acknowledged, but not committed", r.Saga, r.Answer.Step, r.Answer.Direction, r.Answer.Attempt)
		}
	case Served:
		if !a.account(r).gave(answer{r.Who, r.Step, r.Direction, r.Attempt, ""}) {
			return fmt.Sprintf("the command %s/%s/%s/%d was acknowledged, but not answered", r.Saga, r.Step, r.Direction, r.Attempt)
		}
	}
	return ""
}

// enqueuedInTheCommit checks that a state is committed together with its commands and the
// announcement of its phase (I1).
func enqueuedInTheCommit(a *audit, r *Record) string {
	if r.Kind != Committed {
		return ""
	}
	in, last := r.Change.Instance, a.account(r).last
	if last == nil || last.Phase != in.Phase {
		announced := false
		for k := range r.Change.Enqueue {
			announced = announced || !r.Change.Enqueue[k].Answered()
		}
		if !announced {
			return fmt.Sprintf("%s became %s, but the commit of revision %d announces nothing", r.Saga, in.Phase, in.Revision)
		}
	}
	for i := range in.Steps {
		sent := in.Steps[i].Current().Command()
		if sent <= r.Change.Expected {
			continue
		}
		pending := false
		for k := range r.Change.Enqueue {
			id := r.Change.Enqueue[k].ID
			pending = pending || id.Revision == sent && int(id.Index) == i
		}
		if !pending {
			return fmt.Sprintf("%s waits for step %d, but the commit of revision %d enqueues no command", r.Saga, i+1, in.Revision)
		}
	}
	return ""
}

// nothingForgotten checks that a command is discarded by the commit that ends the wait for its
// answer, and an announcement only after the bus has accepted it (I2).
func nothingForgotten(a *audit, r *Record) string {
	switch r.Kind {
	case Discarded:
		d := a.entries[r.Entry]
		switch {
		case d == nil:
		case d.answered:
			return fmt.Sprintf("command %s was discarded by the bus", r.Entry)
		case !d.sent:
			return fmt.Sprintf("announcement %s was discarded, but the bus has not accepted it", r.Entry)
		}
	case Committed:
		in := r.Change.Instance
		for _, id := range r.Change.Discard {
			if k := int(id.Index); k < len(in.Steps) && in.Steps[k].Current().Command() == id.Revision && in.Open() {
				return fmt.Sprintf("command %s was discarded while %s waits for its answer", id, r.Saga)
			}
		}
	}
	return ""
}

// answersBeforeTimers checks that no attempt times out if its answer was on the bus when the
// coordinator checked the timers, unless the coordinator had waited for long enough (I2).
func answersBeforeTimers(a *audit, r *Record) string {
	acc := a.account(r)
	if r.Kind != Committed || acc.last == nil {
		return ""
	}
	in := *acc.last
	for _, ev := range r.Change.Events {
		if ev.Type == contract.EventTimerFired {
			if what := a.overtaken(acc, &in, &ev, r.Who); what != "" {
				return what
			}
		}
		next, _, err := machine.Decide(acc.def.Plan(), in, ev)
		if err != nil {
			return "" // other rules check that
		}
		in = next
	}
	return ""
}

// timeoutsAreTrue checks that no attempt times out or is repeated too early, even if the clock of
// the coordinator's machine was set (I3).
func timeoutsAreTrue(a *audit, r *Record) string {
	acc := a.account(r)
	if r.Kind != Committed || acc.last == nil || len(a.w.nodes) > 1 || a.w.claims != nil {
		return ""
	}
	n := a.w.nodes[0]
	at := n.looks[r.Saga]
	if at.overtook || !slices.ContainsFunc(r.Change.Events, func(ev machine.Event) bool { return ev.Type == contract.EventTimerFired }) {
		return ""
	}
	for i := range acc.last.Steps {
		before, after := &acc.last.Steps[i], &r.Change.Instance.Steps[i]
		was, is := before.Current(), after.Current()
		l := &acc.steps[i]
		moved := was.Attempt() != is.Attempt() || was.Waiting() != is.Waiting() || before.Status() != after.Status()
		answered := slices.ContainsFunc(r.Change.Events, func(ev machine.Event) bool {
			return ev.Type != contract.EventTimerFired && ev.Type != contract.EventClockAdjusted
		})
		if was.Due().IsZero() || !moved || answered || acc.last.Cause == nil && r.Change.Instance.Cause != nil && r.Change.Instance.Cause.Kind == machine.CauseDeadline {
			continue
		}
		if early := l.due.at - at.at; early > time.Second && !is.Due().Equal(was.Due()) && timedOut(was, is) {
			return fmt.Sprintf("%s: attempt %d of %s was over %s before its time", r.Saga, was.Attempt(), acc.shape.steps[i].Name, early)
		}
	}
	return ""
}

// timedOut reports whether a step continued because its timer fired.
func timedOut(was, is *machine.Side) bool {
	return was.Waiting() && !is.Waiting() && is.Attempt() == was.Attempt()+1 || !was.Waiting() && is.Waiting()
}

// learnDue records the due times of the steps' timers that have changed.
func (acc *account) learnDue(w *world, in *machine.Instance) {
	n := w.nodes[0]
	for i := range in.Steps {
		even := in.Steps[i].Current().Due().Add(-in.ClockOffset)
		if l := &acc.steps[i]; !in.Steps[i].Current().Due().IsZero() && !even.Equal(l.due.even) {
			l.due = due{even, n.virtual(in.Steps[i].Current().Due())}
		}
	}
}

// overtaken describes an attempt that a timer ends although the attempt's answer is on the bus. It
// returns "" if there is no such attempt.
func (a *audit) overtaken(acc *account, in *machine.Instance, ev *machine.Event, who string) string {
	i := slices.IndexFunc(a.w.nodes, func(n *node) bool { return n.name == who })
	at := a.w.nodes[i].looks[in.ID]
	if at.overtook {
		return ""
	}
	for i := range in.Steps {
		s, step := in.Steps[i].Current(), &acc.shape.steps[i]
		if ev.Timer != contract.TimerTimeout || step.Name != ev.Step {
			continue
		}
		for _, m := range a.w.bus.answers {
			e := &m.envelope
			of, dir := step.Do.Participant, contract.DirectionDo
			if in.Steps[i].Direction() == contract.DirectionUndo {
				of, dir = step.Undo.Participant, contract.DirectionUndo
			}
			if a.w.bus.lies(m) && !m.damaged && m.arrived < at.at && strings.HasPrefix(e.Subject, "saga.event."+of+".") &&
				e.Saga == in.ID && e.TraceParent == in.TraceParent && e.Step == step.Name && e.Direction == dir && e.Attempt == s.Attempt() {
				return fmt.Sprintf("%s: attempt %d of the %s of %s timed out although its answer had been on the bus for %s", in.ID, s.Attempt(), dir, step.Name, at.at-m.arrived)
			}
		}
	}
	return ""
}

// onlyTheEndedIsRemoved checks that retention removes only ended sagas (I2).
func onlyTheEndedIsRemoved(a *audit, r *Record) string {
	if r.Kind != Forgotten {
		return ""
	}
	if acc := a.account(r); acc.last == nil || acc.last.Open() || acc.removed {
		return fmt.Sprintf("%s was removed, but has not ended", r.Saga)
	}
	return ""
}

// undoneInOrder checks the order of undos (I4). Undos are requested only after every do has ended,
// in the reverse order of the steps, and never after the pivot. They take effect in this order.
func undoneInOrder(a *audit, r *Record) string {
	acc := a.account(r)
	switch r.Kind {
	case Committed:
		for k := range r.Change.Enqueue {
			e := &r.Change.Enqueue[k].Envelope
			if what := acc.askedInOrder(r.Change.Instance, e.Step, e.Direction); what != "" {
				return what
			}
		}
	case Undone:
		i, l := acc.step(r.Step)
		if l == nil || !l.trusted() || acc.shared {
			return ""
		}
		for b := range acc.steps {
			other, step := &acc.steps[b], &acc.shape.steps[b]
			if b == i || !other.trusted() || other.net() < 1 {
				continue
			}
			switch {
			case step.Kind == contract.KindPivot:
				return fmt.Sprintf("%s: %s was undone after the pivot", r.Saga, r.Step)
			case step.Undo != nil && acc.shape.after[i][b]:
				return fmt.Sprintf("%s: %s was undone before %s, which comes after it", r.Saga, r.Step, step.Name)
			}
		}
	}
	return ""
}

// askedInOrder checks a pending undo against the state that enqueues it.
func (acc *account) askedInOrder(in *machine.Instance, name contract.StepName, dir contract.Direction) string {
	if dir != contract.DirectionUndo {
		return ""
	}
	i, l := acc.step(name)
	if l == nil {
		return fmt.Sprintf("%s: there is no step %s", in.ID, name)
	}
	if compensation.PastPivot(acc.def.Tree(), in.State) {
		return fmt.Sprintf("%s: the undo of %s is asked for past the point of no return", in.ID, name)
	}
	for b := range in.Steps {
		switch s := in.Steps[b].Status(); {
		case s == contract.StepDoing:
			return fmt.Sprintf("%s: the undo of %s is asked for while %s has not ended", in.ID, name, acc.shape.steps[b].Name)
		case (s == contract.StepDone || s == contract.StepUnknown || s == contract.StepUndoing) && acc.shape.steps[b].Undo != nil && acc.shape.after[i][b]:
			return fmt.Sprintf("%s: the undo of %s is asked for before that of %s", in.ID, name, acc.shape.steps[b].Name)
		}
	}
	return ""
}

// doneInOrder checks that a step takes effect only after every step before it (I4).
func doneInOrder(a *audit, r *Record) string {
	if r.Kind != Effect {
		return ""
	}
	acc := a.account(r)
	i, l := acc.step(r.Step)
	if l == nil {
		return fmt.Sprintf("%s: there is no step %s", r.Saga, r.Step)
	}
	if acc.shared {
		return ""
	}
	for b := range acc.steps {
		before := &acc.steps[b]
		if b != i && before.effects == 0 && !before.vouched && acc.shape.after[b][i] {
			return fmt.Sprintf("%s: %s took effect before %s", r.Saga, r.Step, acc.shape.steps[b].Name)
		}
	}
	return ""
}

// onceAKey checks that each key takes effect at most once (I5).
func onceAKey(a *audit, r *Record) string {
	if r.Kind != Effect && r.Kind != Undone {
		return ""
	}
	_, l := a.account(r).step(r.Step)
	switch {
	case l == nil || l.weak:
		return ""
	case r.Kind == Effect && l.effects > 0:
		return fmt.Sprintf("%s: %s took effect twice", r.Saga, r.Step)
	case r.Kind == Effect && l.tombstone:
		return fmt.Sprintf("%s: %s took effect after its undo was answered", r.Saga, r.Step)
	case r.Kind == Undone && l.undos > 0:
		return fmt.Sprintf("%s: %s was undone twice", r.Saga, r.Step)
	case r.Kind == Undone && l.effects == 0 && !l.vouched:
		return fmt.Sprintf("%s: %s was undone, but had no effect", r.Saga, r.Step)
	}
	return ""
}

// oneWriter checks that revisions have no gaps and that an ended saga does not change (I7).
func oneWriter(a *audit, r *Record) string {
	if r.Kind != Committed {
		return ""
	}
	last := a.account(r).last
	revision := uint64(0)
	if last != nil {
		revision = last.Revision
		if !last.Open() {
			return fmt.Sprintf("%s moved after its end", r.Saga)
		}
	}
	if r.Change.Expected != revision {
		return fmt.Sprintf("%s was at revision %d, but was moved from %d to %d", r.Saga, revision, r.Change.Expected, r.Revision)
	}
	return ""
}

// answersAreReal checks that an answer that changes a saga was really given by its participant, and
// that the answer changes the saga once (I9).
func answersAreReal(a *audit, r *Record) string {
	if r.Kind != Committed {
		return ""
	}
	for i := range r.Change.Events {
		ev := &r.Change.Events[i]
		if ev.Type != contract.EventStepAnswered {
			continue
		}
		given, acc := answer{ev.Participant, ev.Step, ev.Direction, ev.Attempt, ev.Outcome}, a.account(r)
		switch {
		case slices.Contains(acc.moved, moved{given, string(ev.Payload)}):
			return fmt.Sprintf("%s was moved twice by %s of %s/%s/%d", r.Saga, ev.Outcome, ev.Step, ev.Direction, ev.Attempt)
		case ev.Outcome == contract.OutcomeNotSent:
			if !slices.Contains(acc.never, answer{step: ev.Step, direction: ev.Direction, attempt: ev.Attempt}) {
				return fmt.Sprintf("%s was moved by a refusal of %s/%s/%d, which the bus has not refused for good", r.Saga, ev.Step, ev.Direction, ev.Attempt)
			}
		case !acc.gave(given):
			return fmt.Sprintf("%s was moved by %s of %s/%s/%d, which %s has not given", r.Saga, ev.Outcome, ev.Step, ev.Direction, ev.Attempt, ev.Participant)
		}
	}
	return ""
}

// attemptsBounded checks that no step is attempted more often than its policy and its operators
// allow (I10).
func attemptsBounded(_ *audit, r *Record) string {
	if r.Kind != Committed {
		return ""
	}
	for i := range r.Change.Instance.Steps {
		if s := r.Change.Instance.Steps[i].Current(); s.Attempt() > s.MaxAttempt() {
			return fmt.Sprintf("%s: attempt %d of step %d, but its last one is %d", r.Saga, s.Attempt(), i+1, s.MaxAttempt())
		}
	}
	return ""
}
