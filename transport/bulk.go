package transport

import "github.com/amends-dev/amends/contract"

// OperateAllQuery is a decision about every saga that a filter matches, page by
// page: ask again with the Cursor that the reply before answered.
type OperateAllQuery struct {
	Filter   Filter   `json:"filter"` // an empty one is refused
	Decision Decision `json:"decision"`
	DryRun   bool     `json:"dry_run,omitempty"` // only say what would come of it
	AtMost   int      `json:"at_most,omitempty"` // refuse when more match than this; 0: no limit. Looked at on the first page
	Cursor   string   `json:"cursor,omitempty"`
}

// OperateAllReply is what became of one page.
type OperateAllReply struct {
	Matched int           `json:"matched"`
	Done    int           `json:"done"` // of them, those for which the decision was legal and, without DryRun, was taken
	Refused []RefusedSaga `json:"refused,omitempty"`
	Next    string        `json:"next,omitempty"` // Cursor of the next page; empty: this was the last
}

// RefusedSaga is a saga about which a decision was not taken.
type RefusedSaga struct {
	ID     contract.SagaID           `json:"id"`
	Reason string                    `json:"reason"`          // why not
	Legal  []contract.LegalOperation `json:"legal,omitempty"` // operations that are legal on it now, where that is the reason
}
