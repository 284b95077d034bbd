package transport

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// OrphansQuery lists idempotency keys (contract.Key) of a participant's inbox.
type OrphansQuery struct {
	Keys []string `json:"keys"` // 1 to MaxOrphanKeys
}

// MaxOrphanKeys bounds OrphansQuery.Keys, so that the reply fits into a message.
const MaxOrphanKeys = 500

// OrphansReply lists the keys that need attention, in the order of the query.
type OrphansReply struct {
	Orphans []Orphan `json:"orphans"`
}

// Orphan is a key in a participant's inbox that contradicts the coordinator's record of the saga.
type Orphan struct {
	Key     string     `json:"key"`
	Kind    OrphanKind `json:"kind"`
	Started time.Time  `json:"started"` // when the key's saga was started
	Found   string     `json:"found"`   // the coordinator's record instead

	// The saga that currently has the id, if there is one.
	Birth  contract.Birth      `json:"birth,omitzero"`
	Phase  contract.Phase      `json:"phase,omitempty"`
	Status contract.StepStatus `json:"status,omitempty"` // status of the step
}

// OrphanKind is the kind of mismatch.
type OrphanKind string

// The kinds of orphans.
const (
	OrphanUnknownSaga OrphanKind = "unknown-saga" // no saga with this id is known
	OrphanOtherSaga   OrphanKind = "other-saga"   // the saga with this id was started at another time
	OrphanNotDone     OrphanKind = "not-done"     // the step of the saga is not done
	OrphanNotUndone   OrphanKind = "not-undone"   // the step was undone, but the saga continues as if it were done
	OrphanUnknownStep OrphanKind = "unknown-step" // the saga has no such step
	OrphanUnreadable  OrphanKind = "unreadable"   // the saga's record is damaged, or its definition is missing
)
