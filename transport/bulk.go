package transport

import "github.com/amends-dev/amends/contract"

// OperateAllQuery applies a decision to every saga that a filter matches, page by page. For the
// next page, send it again with the Next of the previous reply as its Cursor.
type OperateAllQuery struct {
	Filter   Filter   `json:"filter"` // must not be empty
	Decision Decision `json:"decision"`
	DryRun   bool     `json:"dry_run,omitempty"` // report what would happen, without doing it
	AtMost   int      `json:"at_most,omitempty"` // refuse if more sagas match; 0 means no limit; for page 1
	Cursor   string   `json:"cursor,omitempty"`
}

// OperateAllReply is the result of one page.
type OperateAllReply struct {
	Matched int           `json:"matched"`
	Done    int           `json:"done"` // matched sagas on which the decision was legal (and executed, unless DryRun)
	Refused []RefusedSaga `json:"refused,omitempty"`
	Next    string        `json:"next,omitempty"` // Cursor of the next page; empty on the last page
}

// RefusedSaga is a saga on which a decision was not executed.
type RefusedSaga struct {
	ID     contract.SagaID           `json:"id"`
	Reason string                    `json:"reason"`          // why it was not executed
	Legal  []contract.LegalOperation `json:"legal,omitempty"` // legal operations, if the decision was not legal
}
