package projection

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Standing is the known state of a saga.
type Standing struct {
	Saga       contract.SagaID
	Birth      contract.Birth // distinguishes the saga from earlier and later sagas with the same id
	Revision   uint64
	Definition contract.DefinitionRef
	Phase      contract.Phase
	Open       bool // whether the saga has not ended
	Paused     bool
}

// Change is the state of a saga after an event, or as read from the store.
type Change struct {
	Standing // after the change; Revision 0 means that the saga no longer exists or is unknown

	Started time.Time // start of the saga
	// Event is the applied event; it is "" if the saga was only read.
	Event       contract.EventType
	At          time.Time      // time of the event
	Before      contract.Phase // the phase before the event; "" for a start
	Step        contract.StepName
	Participant string
	Direction   contract.Direction
	Outcome     contract.Outcome
	Waited      time.Duration // for an answer: time since its command was enqueued; 0 if unknown

	// State is passed to waiters if the saga is at rest. If State is nil, the waiters have to read the
	// saga.
	State any
}

// order relates a change to the known state of its saga.
type order struct {
	newer  bool
	missed uint64 // number of changes in between that were not applied here
}

// follows compares a change with the last known state of its saga.
func (c *Change) follows(last *Standing) order {
	switch {
	case last == nil:
		return order{newer: true} // earlier changes are unknown, but do not count as missed
	case c.Birth > last.Birth:
		return order{newer: true, missed: c.Revision - 1}
	case c.Birth < last.Birth || c.Revision <= last.Revision:
		return order{}
	}
	return order{newer: true, missed: c.Revision - last.Revision - 1}
}

// openBefore reports whether the saga was counted as open before this change, which is newer than
// the last known state.
func (c *Change) openBefore(last *Standing) bool {
	switch {
	case last != nil && last.Birth == c.Birth:
		return last.Open
	case last != nil: // its start was missed
		return false
	case c.Event == "":
		return c.Open // Rebuild counted it
	}
	return c.Before != ""
}
