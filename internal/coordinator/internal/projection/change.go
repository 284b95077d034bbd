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

// follows reports whether a change is newer than the last known state of its saga, and how many
// changes in between were not applied here.
func (c *Change) follows(last *Standing) (newer bool, missed uint64) {
	switch {
	case last == nil: // earlier changes are unknown, but do not count as missed
		newer = true
	case c.Birth > last.Birth:
		newer, missed = true, c.Revision-1
	case c.Birth == last.Birth && c.Revision > last.Revision:
		newer, missed = true, c.Revision-last.Revision-1
	}
	return newer, missed
}

// openBefore reports whether a saga with this id was counted as open before this change, which is
// newer than the last known state.
func (c *Change) openBefore(last *Standing) bool {
	switch {
	case last != nil: // perhaps an earlier saga with this id, which this one replaces
		return last.Open
	case c.Event == "":
		return c.Open // Rebuild counted it
	}
	return c.Before != ""
}
