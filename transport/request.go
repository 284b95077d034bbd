package transport

import (
	"encoding/json"
	"time"

	"github.com/amends-dev/amends/contract"
)

// The coordinator's requests, as verbs of Subjects.API. Data is JSON; what is
// not named here travels in the request's attributes.
const (
	// APIStart starts a saga. Attributes: Saga (empty: the coordinator makes an
	// id), Definition, ContentType, TraceParent. Data: the input. Reply: Status.
	APIStart = "start"
	// APIGet answers where a saga stands. Attribute: Saga. Reply: Status.
	APIGet = "get"
	// APIWait is APIGet that answers when the saga has ended or is parked, or when
	// the request Expires, whichever comes first. Reply: Status.
	APIWait = "wait"
	// APIOperate takes a person's decision. Attribute: Saga. Data: Operation.
	// Reply: Status.
	APIOperate = "operate"
	// APIList lists sagas. Data: ListQuery. Reply: ListReply.
	APIList = "list"
	// APIHistory answers the recorded events of a saga. Attribute: Saga. Data:
	// HistoryQuery, or nothing. Reply: HistoryReply.
	APIHistory = "history"
	// APIDefine registers a definition. Data: its JSON form. Reply: DefinitionReply.
	APIDefine = "define"
	// APIDefinitions lists definitions. Reply: DefinitionsReply.
	APIDefinitions = "definitions"
)

// Status is where a saga stands, as of a revision.
type Status struct {
	ID         contract.SagaID        `json:"id"`
	Definition contract.DefinitionRef `json:"definition"`
	Phase      contract.Phase         `json:"phase"`
	Revision   uint64                 `json:"revision"`
	Existed    bool                   `json:"existed,omitempty"` // of a start: the saga was there already, with the same input
	Removed    bool                   `json:"removed,omitempty"` // ended so long ago that only this much is known
	Started    time.Time              `json:"started,omitzero"`
	Updated    time.Time              `json:"updated,omitzero"`
	Ended      time.Time              `json:"ended,omitzero"`
	Reason     string                 `json:"reason,omitempty"` // why it goes back, went back or is parked
	Legal      []string               `json:"legal,omitempty"`  // verbs that are legal now
	Undo       [][]string             `json:"undo,omitempty"`   // what going back would undo now: waves of step names
	Steps      []StepStatus           `json:"steps,omitempty"`
}

// StepStatus is where one step stands.
type StepStatus struct {
	Name    contract.StepName `json:"name"`
	Kind    string            `json:"kind"`
	Status  string            `json:"status"`
	Attempt int               `json:"attempt,omitempty"`
	Due     time.Time         `json:"due,omitzero"`
	Parked  time.Time         `json:"parked,omitzero"`
	Reason  string            `json:"reason,omitempty"`
	Result  json.RawMessage   `json:"result,omitempty"` // when it is JSON
}

// Operation is a person's decision about a saga.
type Operation struct {
	Verb    string            `json:"verb"` // cancel, retry, resolve, skip, compensate, abandon
	Step    contract.StepName `json:"step,omitempty"`
	By      string            `json:"by"`
	Reason  string            `json:"reason"`
	Outcome contract.Outcome  `json:"outcome,omitempty"` // of resolve: completed or rejected
	Result  json.RawMessage   `json:"result,omitempty"`  // of resolve
}

// ListQuery says which sagas to list; see store.Filter and store.Page.
type ListQuery struct {
	Definition string           `json:"definition,omitempty"`
	Version    int              `json:"version,omitempty"`
	Phases     []contract.Phase `json:"phases,omitempty"`
	IDPrefix   string           `json:"id_prefix,omitempty"`
	Open       bool             `json:"open,omitempty"`
	Limit      int              `json:"limit,omitempty"`
	Cursor     string           `json:"cursor,omitempty"`
}

// ListReply is a page of sagas. Their Status has no steps.
type ListReply struct {
	Sagas []Status `json:"sagas"`
	Next  string   `json:"next,omitempty"`
}

// HistoryQuery says which part of a history is wanted.
type HistoryQuery struct {
	From  uint64 `json:"from,omitempty"`  // revision of the first event wanted; 0: 1
	Limit int    `json:"limit,omitempty"` // 0: as many as fit into a reply
}

// HistoryReply is the recorded events of a saga, oldest first.
type HistoryReply struct {
	Events []HistoryEvent `json:"events"`
	Next   uint64         `json:"next,omitempty"` // From of the next part; 0: this was the last
}

// HistoryEvent is one recorded event; Revision is where it moved the saga to.
type HistoryEvent struct {
	Revision    uint64             `json:"revision"`
	Type        string             `json:"type"`
	At          time.Time          `json:"at"`
	Participant string             `json:"participant,omitempty"`
	Step        contract.StepName  `json:"step,omitempty"`
	Direction   contract.Direction `json:"direction,omitempty"`
	Attempt     int                `json:"attempt,omitempty"`
	Outcome     contract.Outcome   `json:"outcome,omitempty"`
	Verb        string             `json:"verb,omitempty"`
	By          string             `json:"by,omitempty"`
	Reason      string             `json:"reason,omitempty"`
	Payload     json.RawMessage    `json:"payload,omitempty"` // when it is JSON
}

// DefinitionReply answers APIDefine.
type DefinitionReply struct {
	Definition  contract.DefinitionRef `json:"definition"`
	Fingerprint string                 `json:"fingerprint"`
}

// DefinitionsReply answers APIDefinitions.
type DefinitionsReply struct {
	Definitions []DefinitionReply `json:"definitions"`
}

// Code says why a request was refused. It travels in Envelope.Code, the sentence
// for people in Envelope.Reason; a reply without code is a success.
type Code string

// The codes: those of Connect and gRPC that occur.
const (
	CodeInvalidArgument    Code = "invalid_argument"    // the request is wrong; the reason says what would be right
	CodeNotFound           Code = "not_found"           // no such saga or definition
	CodeAlreadyExists      Code = "already_exists"      // the id is taken by a saga with another input or definition, the version by another content
	CodeFailedPrecondition Code = "failed_precondition" // not legal now; the reason says what is
	CodeResourceExhausted  Code = "resource_exhausted"  // a limit is reached; try again later
	CodeUnavailable        Code = "unavailable"         // the coordinator is starting, stopping or cannot commit; try again
	CodeInternal           Code = "internal"
)
