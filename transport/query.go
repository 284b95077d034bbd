package transport

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Filter selects sagas. Zero fields do not filter.
type Filter struct {
	Definition    string           `json:"definition,omitempty"`
	Version       int              `json:"version,omitempty"`
	Phases        []contract.Phase `json:"phases,omitzero"`
	IDPrefix      string           `json:"id_prefix,omitempty"`
	Open          bool             `json:"open,omitempty"`          // sagas that have not ended
	StartedAfter  *time.Time       `json:"started_after,omitempty"` // the zero times 0001-01-01 and 1970-01-01 are refused
	StartedBefore *time.Time       `json:"started_before,omitempty"`

	IDs           []contract.SagaID `json:"ids,omitzero"`             // at most MaxFilterIDs
	UpdatedBefore *time.Time        `json:"updated_before,omitempty"` // sagas without progress since then
	Paused        bool              `json:"paused,omitempty"`         // sagas that are paused
	Reason        string            `json:"reason,omitempty"`         // case-insensitive substring of the saga's reason
	Step          contract.StepName `json:"step,omitempty"`           // a step in progress, between attempts, or parked
	Participant   string            `json:"participant,omitempty"`    // the participant of a step in progress
}

// MaxFilterIDs bounds the number of Filter.IDs. MaxFilterReason bounds the bytes of Filter.Reason.
const (
	MaxFilterIDs    = 1000
	MaxFilterReason = 256
)

// ListQuery selects one page of sagas.
type ListQuery struct {
	Filter
	Limit  int    `json:"limit,omitempty"` // at most 1000; 0 means 100
	Cursor string `json:"cursor,omitempty"`
}

// ListReply is a page of sagas. Each Status omits the steps.
type ListReply struct {
	Sagas []Status `json:"sagas"`
	Next  string   `json:"next,omitempty"`
}

// CountReply contains the numbers of sagas by definition, version and phase. It omits zeros.
type CountReply struct {
	Counts []Count `json:"counts"`
	Total  int     `json:"total"`
	// AtLeast reports that the counts are lower bounds: the filter requires an examination of every
	// saga, and there were more sagas than the limit.
	AtLeast bool `json:"at_least,omitempty"`
}

// Count contains the number of a definition's sagas in a phase.
type Count struct {
	Definition contract.DefinitionRef `json:"definition"`
	Phase      contract.Phase         `json:"phase"`
	Sagas      int                    `json:"sagas"`
	Ended      int                    `json:"ended,omitempty"` // number of the sagas that have ended
}

// WatchQuery selects the sagas to watch. If the request's attributes contain a saga, only that saga
// is watched, and the reply includes its steps.
type WatchQuery struct {
	Filter
	// After is the Position of the previous reply. The next reply contains the changes since that
	// position. If empty, it contains changes from now on.
	After string `json:"after,omitempty"`
}

// WatchReply lists the sagas that have changed since a position. Each is listed once, in its
// current state. The list is empty if no saga changed before the request expired.
type WatchReply struct {
	Sagas []WatchedSaga `json:"sagas"`
	// Position is the After of the next request.
	Position string `json:"position"`
	// Missed is the number of changes that are not listed separately, because the saga changed
	// again or the change is no longer stored.
	Missed int `json:"missed,omitempty"`
	// Lost reports that changed sagas are missing, because there were too many changes or the
	// coordinator was restarted. List the sagas again and continue from Position.
	Lost bool `json:"lost,omitempty"`
}

// WatchedSaga is a saga that has changed.
type WatchedSaga struct {
	Saga Status `json:"saga"`
	Left bool   `json:"left,omitempty"` // whether it no longer matches the filter
}
