package simulation

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// atRest checks what must hold when the faults are over and the system is at rest.
func (a *audit) atRest() {
	for _, c := range a.w.callers {
		for _, acc := range a.runs[c.id] {
			a.addsUp(c.id, acc)
		}
		acc, stored := a.account(&Record{Saga: c.id}), a.volume.look(c.id)
		if acc.removed {
			continue // it was checked when it was removed
		}
		a.ended(c, acc, stored)
		if acc.last == nil || stored == nil {
			continue
		}
		a.phases[stored.Phase]++
		a.folds(c.id, acc, stored)
	}
	a.quiet()
}

// ended checks that an accepted saga exists with its input, has lost no committed revision, and has
// ended (I2).
func (a *audit) ended(c *caller, acc *account, stored *machine.Instance) {
	switch {
	case acc.last == nil && acc.accepted == "" && stored == nil:
	case stored == nil:
		a.violated("I2", "%s was committed or accepted, but is gone", c.id)
	case acc.last != nil && stored.Revision < acc.last.Revision:
		a.violated("I2", "%s was committed at revision %d, but is at %d", c.id, acc.last.Revision, stored.Revision)
	case acc.accepted != "" && string(stored.Input) != acc.accepted:
		a.violated("I2", "%s was accepted with %s, but has %s", c.id, acc.accepted, stored.Input)
	case stored.Open():
		a.violated("I2", "%s does not end: it is %s at revision %d", c.id, stored.Phase, stored.Revision)
	}
}

// addsUp checks that the participants' effects match the phase (I3, I4).
func (a *audit) addsUp(id contract.SagaID, acc *account) {
	for i := range acc.steps {
		l, step := &acc.steps[i], &acc.shape.steps[i]
		status := acc.last.Steps[i].Status()
		switch {
		case acc.last == nil || l.vouched || acc.shared || acc.last.Open():
		case l.weak && acc.last.Phase == contract.PhaseCompleted && l.effects == 0:
			a.violated("I3", "%s completed, but %s had no effect", id, step.Name)
		case l.weak:
		case acc.last.Phase == contract.PhaseCompleted && l.net() != 1:
			a.violated("I3", "%s completed, but the net effect of %s is %d", id, step.Name, l.net())
		case acc.last.Phase == contract.PhaseCompensated && l.net() != 0 && step.Undo != nil:
			a.violated("I3", "%s was compensated, but the net effect of %s, %s, is %d", id, step.Name, status, l.net())
		case acc.last.Phase == contract.PhaseCompensated && l.net() != 0 && step.Kind != contract.KindCompensable:
			a.violated("I4", "%s was compensated, but %s, a %s step, took effect", id, step.Name, step.Kind)
		}
	}
}

// folds checks that deciding the recorded events again gives the committed and the stored state
// (I6, I8), and that every committed event is recorded (I8).
func (a *audit) folds(id contract.SagaID, acc *account, stored *machine.Instance) {
	recorded, err := a.recorded(id)
	if err != nil || len(recorded) != acc.events {
		a.violated("I8", "%s: %s recorded, %d were committed (%v)", id, plural.Of(len(recorded), "event is", "events are"), acc.events, err)
		return
	}
	folded, err := machine.Fold(acc.def.Plan(), recorded)
	if err != nil {
		a.violated("I8", "%s: %v", id, err)
		return
	}
	again, err := sagapb.MarshalInstance(&folded)
	if err != nil {
		a.violated("I8", "%s: %v", id, err)
		return
	}
	if decided, err := sagapb.MarshalInstance(acc.last); err != nil || !bytes.Equal(decided, again) {
		a.violated("I6", "%s: deciding %s again gives another state than the committed one", id, plural.Of(len(recorded), "event", "events"))
	}
	if have, err := sagapb.MarshalInstance(stored); err != nil || !bytes.Equal(have, again) {
		a.violated("I8", "%s: folding %s gives another state than the stored one", id, plural.Of(len(recorded), "event", "events"))
	}
}

// recorded returns a saga's whole history, read page by page.
func (a *audit) recorded(id contract.SagaID) (events []machine.Event, err error) {
	for {
		page, err := a.volume.store.History(a.w.ctx, id, uint64(len(events))+1, 0)
		switch {
		case err != nil:
			return events, err
		case events == nil:
			events = page
		default:
			events = append(events, page...)
		}
		if len(page) < store.MaxPage {
			return events, nil
		}
	}
}

// quiet checks that nothing is pending or due (I2, I10).
func (a *audit) quiet() {
	pending := 0
	var first outbox.ID
	err := outbox.All(a.w.ctx, a.volume.store, func(_ outbox.Position, r outbox.Record) bool {
		if pending++; pending == 1 {
			first = r.ID
		}
		return true
	})
	if err != nil || pending > 0 {
		a.violated("I2", "%s pending for ever, the first is %s (%v)", plural.Of(pending, "message is", "messages are"), first, err)
	}
	var left []string
	for _, d := range a.entries {
		if !d.discarded {
			left = append(left, d.id.String())
		}
	}
	if len(left) > 0 { // Min makes the message the same in every run of a seed
		a.violated("I2", "%s was never discarded", slices.Min(left))
	}
	ids, next, err := a.volume.store.Due(a.w.ctx, epoch.Add(a.w.now), 0)
	if err != nil || len(ids) > 0 || !next.IsZero() {
		a.violated("I10", "%s wait to be woken, the next at %s (%v)", fmt.Sprint(ids), next, err)
	}
}
