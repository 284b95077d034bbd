package api

import "github.com/amends-dev/amends/contract"

// Limits of requests (I10).
const (
	MaxFilterIDs    = 1000 // of Filter.IDs
	MaxFilterReason = 256  // of Filter.Reason, in bytes
	MaxDeadLetters  = 1000 // of dead letters in a request or response
	MaxOrphanKeys   = 500  // of FindOrphansRequest.Keys
)

// AtRest reports whether the saga has ended, is parked, or was removed, so that there is nothing to
// wait for.
func (s *Saga) AtRest() bool { return s.Removed || s.Phase.AtRest() }

// Step returns the state of a step, or nil if s contains no step with that name.
func (s *Saga) Step(name contract.StepName) *Step {
	for i := range s.Steps {
		if s.Steps[i].Name == name {
			return &s.Steps[i]
		}
	}
	return nil
}

// OrphanKind is the kind of mismatch of an Orphan.
type OrphanKind string

// The kinds of orphans.
const (
	OrphanUnknownSaga OrphanKind = "unknown_saga" // no saga with this id is known
	OrphanOtherSaga   OrphanKind = "other_saga"   // the saga with this id was started at another time
	OrphanNotDone     OrphanKind = "not_done"     // the step of the saga is not done
	OrphanNotUndone   OrphanKind = "not_undone"   // the step was undone, but the saga continues as if it were done
	OrphanUnknownStep OrphanKind = "unknown_step" // the saga has no such step
	OrphanUnreadable  OrphanKind = "unreadable"   // the saga's record is damaged, or its definition is missing
)
