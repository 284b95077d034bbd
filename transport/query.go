package transport

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Filter says which sagas; a field that is not given does not filter.
type Filter struct {
	Definition    string           `json:"definition,omitempty"`
	Version       int              `json:"version,omitempty"`
	Phases        []contract.Phase `json:"phases,omitzero"`
	IDPrefix      string           `json:"id_prefix,omitempty"`
	Open          bool             `json:"open,omitempty"`          // that have not ended
	StartedAfter  *time.Time       `json:"started_after,omitempty"` // and nobody's zero: 0001-01-01 and 1970-01-01 are refused
	StartedBefore *time.Time       `json:"started_before,omitempty"`

	IDs           []contract.SagaID `json:"ids,omitzero"`             // at most MaxFilterIDs
	UpdatedBefore *time.Time        `json:"updated_before,omitempty"` // that have not moved since: the stuck ones
	Paused        bool              `json:"paused,omitempty"`         // that are paused
	Reason        string            `json:"reason,omitempty"`         // that their reason contains, upper and lower case alike
	Step          contract.StepName `json:"step,omitempty"`           // that is under way, waits for its next attempt, or is parked
	Participant   string            `json:"participant,omitempty"`    // that a step under way asks
}

// MaxFilterIDs bounds Filter.IDs, MaxFilterReason the bytes of Filter.Reason.
const (
	MaxFilterIDs    = 1000
	MaxFilterReason = 256
)

// ListQuery says which sagas to list, and which page of them.
type ListQuery struct {
	Filter
	Limit  int    `json:"limit,omitempty"` // at most so many, up to 1000; 0: 100
	Cursor string `json:"cursor,omitempty"`
}

// ListReply is a page of sagas. Their Status has no steps.
type ListReply struct {
	Sagas []Status `json:"sagas"`
	Next  string   `json:"next,omitempty"`
}

// CountReply is numbers of sagas, by definition, version and phase, without zeros.
type CountReply struct {
	Counts []Count `json:"counts"`
	Total  int     `json:"total"`
	// AtLeast: the filter needs a look at every saga, and there were more than are
	// looked at.
	AtLeast bool `json:"at_least,omitempty"`
}

// Count is a number of sagas.
type Count struct {
	Definition contract.DefinitionRef `json:"definition"`
	Phase      contract.Phase         `json:"phase"`
	Sagas      int                    `json:"sagas"`
	Ended      int                    `json:"ended,omitempty"` // how many of them have ended
}

// WatchQuery says what to watch; with a saga in the request's attributes only
// that one, with its steps.
type WatchQuery struct {
	Filter
	// After is the Position of the reply before: what has moved since is answered.
	// Empty: begin now.
	After string `json:"after,omitempty"`
}

// WatchReply is the sagas that have moved behind a position, each once, as it
// stands. Empty: none has, until the request expired.
type WatchReply struct {
	Sagas []WatchedSaga `json:"sagas"`
	// Position is After of the next request.
	Position string `json:"position"`
	// Missed counts changes of sagas that are told in a later state, or that are
	// not remembered any more.
	Missed int `json:"missed,omitempty"`
	// Lost: some sagas that have moved are not told, because too much has happened
	// since, or the coordinator was started again. List them again, and go on from
	// Position.
	Lost bool `json:"lost,omitempty"`
}

// WatchedSaga is a saga that moved.
type WatchedSaga struct {
	Saga Status `json:"saga"`
	Left bool   `json:"left,omitempty"` // it does not match the filter any more
}
