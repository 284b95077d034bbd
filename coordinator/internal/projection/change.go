package projection

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Standing is the state of a saga, as far as the projection knows it.
type Standing struct {
	Saga       contract.SagaID
	Birth      contract.Birth // distinguishes it from earlier and later sagas with its id
	Revision   uint64
	Definition contract.DefinitionRef
	Phase      contract.Phase
	Open       bool // whether it has not ended
	Paused     bool
}

// Change is the state of a saga after an event was applied to it, or after it was read.
type Change struct {
	Standing // after the change. Revision 0: the saga does not exist any more, or nothing is known of it

	Started time.Time // of the saga
	// Event is the applied event; "" means that the saga was only read.
	Event       contract.EventType
	At          time.Time      // of the event
	Before      contract.Phase // the phase before the event; "" for a start
	Step        contract.StepName
	Participant string
	Direction   contract.Direction
	Outcome     contract.Outcome
	Waited      time.Duration // of an answer: since its command was enqueued; 0: unknown

	// State is passed to waiters if the saga is at rest. If nil, they have to read the saga.
	State any
}

// order is how a change relates to the known state of its saga.
type order struct {
	newer  bool
	missed uint64 // changes in between that were not applied here
}

// follows compares a change with the last known state of its saga.
func (c *Change) follows(last *Standing) order {
	switch {
	case last == nil:
		return order{newer: true} // earlier changes are unknown, but not missed
	case c.Birth > last.Birth:
		return order{newer: true, missed: c.Revision - 1}
	case c.Birth < last.Birth || c.Revision <= last.Revision:
		return order{}
	}
	return order{newer: true, missed: c.Revision - last.Revision - 1}
}

// openBefore reports whether the saga was counted as open before a change that is newer than the
// last known one.
func (c *Change) openBefore(last *Standing) bool {
	switch {
	case last != nil && last.Birth == c.Birth:
		return last.Open
	case last != nil: // its start was missed
		return false
	case c.Event == "":
		return c.Open // it was counted with all others
	}
	return c.Before != ""
}
