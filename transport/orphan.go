package transport

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// OrphansQuery is idempotency keys (contract.Key) from the inbox of a participant.
type OrphansQuery struct {
	Keys []string `json:"keys"` // 1 to MaxOrphanKeys
}

// MaxOrphanKeys bounds OrphansQuery.Keys, so that the reply fits a message.
const MaxOrphanKeys = 500

// OrphansReply is the keys that somebody has to look at, in the order of the query.
type OrphansReply struct {
	Orphans []Orphan `json:"orphans"`
}

// Orphan is a key that a participant has in its inbox, and of which the coordinator does
// not know what the participant did.
type Orphan struct {
	Key     string     `json:"key"`
	Kind    OrphanKind `json:"kind"`
	Started time.Time  `json:"started"` // when the saga of the key was started
	Found   string     `json:"found"`   // what is known in its place

	// Of the saga that is there, if there is one.
	Birth  contract.Birth      `json:"birth,omitzero"`
	Phase  contract.Phase      `json:"phase,omitempty"`
	Status contract.StepStatus `json:"status,omitempty"` // of the step
}

// OrphanKind is what is wrong with a key.
type OrphanKind string

// The kinds of orphans.
const (
	OrphanUnknownSaga OrphanKind = "unknown-saga" // no saga with this id is known
	OrphanOtherSaga   OrphanKind = "other-saga"   // the saga with this id was started at another time
	OrphanNotDone     OrphanKind = "not-done"     // the saga does not count the step as done
	OrphanNotUndone   OrphanKind = "not-undone"   // the saga goes on with a step that was undone
	OrphanUnknownStep OrphanKind = "unknown-step" // the saga has no such step
	OrphanUnreadable  OrphanKind = "unreadable"   // the saga's record is damaged, or its definition is gone
)
