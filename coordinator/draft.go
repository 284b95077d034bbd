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

// draft is a saga while one Step works on it: its state in the store, and what the Step has
// decided but not committed yet.
type draft struct {
	committed  uint64                // the revision in the store
	cached     bool                  // whether instance was read from the cache
	tombstone  *store.TombstoneError // of a saga that ended and was removed; else nil
	unreadable error                 // why the saga or its definition cannot be read; nil: both can
	broken     error                 // why the store cannot be read; nil: it can

	instance *machine.Instance // state after everything decided so far; nil: the saga does not exist
	def      *saga.Definition  // the definition of instance

	inputs         []int         // indexes in the batch, all for this saga
	undecided      []int         // the last of inputs, because an earlier one needs expensive mappings
	undecidedEvent machine.Event // the event that the first of these was about to apply

	events     []machine.Event // the applied events
	enqueued   []outbox.Record // the records that they enqueue
	answered   []outbox.ID     // commands no longer pending, because their answer came
	superseded []outbox.ID     // commands no longer pending, because another attempt replaces them or none is needed
}

// birth returns the saga's birth, 0 if it does not exist or is unknown.
func (d *draft) birth() contract.Birth {
	switch {
	case d.instance != nil:
		return d.instance.Birth()
	case d.tombstone != nil:
		return d.tombstone.Birth()
	}
	return 0
}

// discard records which commands are no longer pending, and whether an answer is the reason.
// Commands of this batch are dropped before they are stored.
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

// discarded returns the records that are no longer pending.
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

// awaits reports whether the answer to the input's command is the one that its step awaits.
func (d *draft) awaits(input *Input) bool {
	plan := d.def.Plan()
	for i := range plan.Steps {
		if plan.Steps[i].Name == input.Event.Step {
			return d.instance.Steps[i].Side(input.Event.Direction).Command() == input.Command
		}
	}
	return false
}
