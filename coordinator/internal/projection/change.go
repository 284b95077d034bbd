package projection

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Standing is where a saga stands.
type Standing struct {
	Saga       contract.SagaID
	Birth      contract.Birth // tells it from earlier and later sagas with its id
	Revision   uint64
	Definition contract.DefinitionRef
	Phase      contract.Phase
	Open       bool // it has not ended
	Paused     bool
}

// Change is what is known of a saga after something was applied to it, or after it was read.
type Change struct {
	Standing // after it. Revision 0: there is no such saga any more, or nothing is known of it

	Started time.Time // of the saga
	// Event is what was applied; "": nothing was, the saga was read.
	Event       contract.EventType
	At          time.Time      // of the event
	Before      contract.Phase // the phase before the event; "" for a start
	Step        contract.StepName
	Participant string
	Direction   contract.Direction
	Outcome     contract.Outcome
	Waited      time.Duration // of an answer: since its command was enqueued; 0: not known

	// State is handed to those who wait, if the saga is at rest. nil: it is not at hand, and
	// they have to look.
	State any
}

// order is how a change relates to what is known of its saga.
type order struct {
	newer  bool
	missed uint64 // changes in between that nobody told of
}

// follows compares a change with the last that is known of its saga.
func (c *Change) follows(last *Standing) order {
	switch {
	case last == nil:
		return order{newer: true} // whatever came before is not known, and not missed
	case c.Birth > last.Birth:
		return order{newer: true, missed: c.Revision - 1}
	case c.Birth < last.Birth || c.Revision <= last.Revision:
		return order{}
	}
	return order{newer: true, missed: c.Revision - last.Revision - 1}
}

// openBefore reports whether the saga was counted as open before a change that is newer than
// the last one that is known.
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
