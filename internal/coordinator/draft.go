package coordinator

import (
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// draft is the working copy of a saga during one Step: its state in the store, and the decisions
// that are not committed yet.
type draft struct {
	committed  uint64                // the revision in the store
	cached     bool                  // whether instance was read from the cache
	tombstone  *store.TombstoneError // set if the saga ended and was removed; else nil
	unreadable error                 // why the saga or its definition cannot be read; nil if both can
	broken     error                 // why the store cannot be read; nil if it can

	instance *machine.Instance // state after all decisions so far; nil if the saga does not exist
	def      *saga.Definition  // the definition of instance

	inputs    []int   // indexes in the batch, all for this saga
	undecided []int   // the tail of inputs, undecided because the first of them needs expensive mappings
	costly    *Costly // what the first undecided input was about to do

	events     []machine.Event // the applied events
	enqueued   []outbox.Record // the outbox records that the events enqueue
	answered   []outbox.ID     // commands no longer pending because they were answered
	superseded []outbox.ID     // commands no longer pending because they were replaced or are not needed any more
}

// birth returns the saga's birth, or 0 if the saga does not exist or its birth is unknown.
func (d *draft) birth() contract.Birth {
	switch {
	case d.instance != nil:
		return d.instance.Birth()
	case d.tombstone != nil:
		return d.tombstone.Birth()
	}
	return 0
}

// discard records commands that are no longer pending; answered is set if an answer is the reason.
// Commands that this batch enqueues are removed before they are stored.
func (d *draft) discard(refs []machine.CommandRef, answered bool) {
	for _, ref := range refs {
		id := outbox.ID{Saga: d.instance.ID, Birth: d.instance.Birth(), Revision: ref.Revision, Index: uint16(ref.Index)}
		own := slices.IndexFunc(d.enqueued, func(r outbox.Record) bool { return r.ID == id })
		switch {
		case own >= 0:
			d.enqueued = slices.Delete(d.enqueued, own, own+1)
		case answered:
			d.answered = append(d.answered, id)
		default:
			d.superseded = append(d.superseded, id)
		}
	}
}

// discarded returns the ids of the commands that are no longer pending.
func (d *draft) discarded() []outbox.ID {
	if len(d.superseded) == 0 {
		return d.answered
	}
	return slices.Concat(d.answered, d.superseded)
}

// applied describes the draft's last event.
func (d *draft) applied(before contract.Phase, waited time.Duration) Applied {
	return Applied{Event: &d.events[len(d.events)-1], Instance: d.instance, Before: before, Waited: waited}
}

// awaits reports whether the input answers the command that its step currently waits for.
func (d *draft) awaits(input *Input) bool {
	plan := d.def.Plan()
	for i := range plan.Steps {
		if plan.Steps[i].Name == input.Event.Step {
			return d.instance.Steps[i].Side(input.Event.Direction).Command() == input.Command
		}
	}
	return false
}
