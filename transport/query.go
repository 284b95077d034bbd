package transport

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Filter selects sagas; zero fields do not filter.
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
	Reason        string            `json:"reason,omitempty"`         // substring of their reason, case-insensitive
	Step          contract.StepName `json:"step,omitempty"`           // in progress, between attempts, or parked
	Participant   string            `json:"participant,omitempty"`    // asked by a step in progress
}

// MaxFilterIDs bounds Filter.IDs, MaxFilterReason the bytes of Filter.Reason.
const (
	MaxFilterIDs    = 1000
	MaxFilterReason = 256
)

// ListQuery selects one page of sagas.
type ListQuery struct {
	Filter
	Limit  int    `json:"limit,omitempty"` // at most 1000; 0: 100
	Cursor string `json:"cursor,omitempty"`
}

// ListReply is a page of sagas. Their Status has no steps.
type ListReply struct {
	Sagas []Status `json:"sagas"`
	Next  string   `json:"next,omitempty"`
}

// CountReply counts sagas by definition, version and phase, without zeros.
type CountReply struct {
	Counts []Count `json:"counts"`
	Total  int     `json:"total"`
	// AtLeast: the filter has to examine every saga, and there were more than the limit.
	AtLeast bool `json:"at_least,omitempty"`
}

// Count counts the sagas of a definition in a phase.
type Count struct {
	Definition contract.DefinitionRef `json:"definition"`
	Phase      contract.Phase         `json:"phase"`
	Sagas      int                    `json:"sagas"`
	Ended      int                    `json:"ended,omitempty"` // those that have ended
}

// WatchQuery selects what to watch. With a saga in the request's attributes, only that one, with
// its steps.
type WatchQuery struct {
	Filter
	// After is the Position of the previous reply; the next has what changed since. Empty: from
	// now.
	After string `json:"after,omitempty"`
}

// WatchReply lists the sagas that changed since a position, each once, in its current state. Empty:
// none changed before the request expired.
type WatchReply struct {
	Sagas []WatchedSaga `json:"sagas"`
	// Position is After of the next request.
	Position string `json:"position"`
	// Missed counts changes that are not listed on their own, because the saga changed again or
	// they are no longer stored.
	Missed int `json:"missed,omitempty"`
	// Lost: some changed sagas are missing, because too much has changed or the coordinator was
	// restarted. List the sagas again, and continue from Position.
	Lost bool `json:"lost,omitempty"`
}

// WatchedSaga is a saga that changed.
type WatchedSaga struct {
	Saga Status `json:"saga"`
	Left bool   `json:"left,omitempty"` // it no longer matches the filter
}
