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

// draft is a saga while one Step works on it: where it stands in the store, and what the Step
// has decided on top of that and not committed yet.
type draft struct {
	committed  uint64                // the revision in the store
	cached     bool                  // that was read from the cache
	tombstone  *store.TombstoneError // of a saga that ended and was removed; else nil
	unreadable error                 // why the saga, or its definition, cannot be had; nil: they can
	broken     error                 // why the store cannot be read; nil: it can

	instance *machine.Instance // where the saga stands with all that is decided; nil: it does not exist
	def      *saga.Definition  // of instance

	inputs         []int         // of the batch, all for this saga
	undecided      []int         // the last of them: an earlier one needs mappings that cost too much
	undecidedEvent machine.Event // what the first of these was about to apply

	events     []machine.Event // that are applied
	enqueued   []outbox.Record // that they make pending
	answered   []outbox.ID     // commands that are not pending any more: their answer came
	superseded []outbox.ID     // commands that are not pending any more: another attempt takes their place, or none
}

// birth is that of the saga as it stands; 0: there is none, or it is not known.
func (d *draft) birth() contract.Birth {
	switch {
	case d.instance != nil:
		return d.instance.Birth()
	case d.tombstone != nil:
		return d.tombstone.Birth()
	}
	return 0
}

// discard notes which commands are no longer pending, and whether an answer is the reason. Those of
// this very batch need not be recorded at all.
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

// discarded are the records that are not pending any more.
func (d *draft) discarded() []outbox.ID {
	if len(d.superseded) == 0 {
		return d.answered
	}
	return slices.Concat(d.answered, d.superseded)
}

// applied describes the last event of a draft.
func (d *draft) applied(before contract.Phase, waited time.Duration) Applied {
	return Applied{Event: &d.events[len(d.events)-1], Instance: d.instance, Before: before, Waited: waited}
}
