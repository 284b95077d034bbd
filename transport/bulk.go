package transport

import "github.com/amends-dev/amends/contract"

// OperateAllQuery applies a decision to every saga that a filter matches, page by page: repeat it
// with the Cursor of the previous reply.
type OperateAllQuery struct {
	Filter   Filter   `json:"filter"` // must not be empty
	Decision Decision `json:"decision"`
	DryRun   bool     `json:"dry_run,omitempty"` // only report what would happen
	AtMost   int      `json:"at_most,omitempty"` // refuse if more sagas match; 0: no limit. Checked on the first page
	Cursor   string   `json:"cursor,omitempty"`
}

// OperateAllReply is the result of one page.
type OperateAllReply struct {
	Matched int           `json:"matched"`
	Done    int           `json:"done"` // matched sagas on which the decision was legal and, without DryRun, was executed
	Refused []RefusedSaga `json:"refused,omitempty"`
	Next    string        `json:"next,omitempty"` // Cursor of the next page; empty: this was the last
}

// RefusedSaga is a saga on which a decision was not executed.
type RefusedSaga struct {
	ID     contract.SagaID           `json:"id"`
	Reason string                    `json:"reason"`          // why not
	Legal  []contract.LegalOperation `json:"legal,omitempty"` // the operations that are legal instead, if that is the reason
}
