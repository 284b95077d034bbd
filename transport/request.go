package transport

import (
	"encoding/json"
	"time"

	"github.com/amends-dev/amends/contract"
)

// The coordinator's requests, as arguments of Subjects.API. Data is JSON. Other parameters are
// attributes of the request.
const (
	// APIStart starts a saga. Attributes: Saga (if empty, the coordinator generates an id),
	// Definition, ContentType, TraceParent. Data: the input. Reply: Status.
	APIStart = "start"
	// APIGet returns a saga's status. Attribute: Saga. Reply: Status.
	APIGet = "get"
	// APIWait is like APIGet, but the reply is sent when the saga has ended or is parked, or when
	// the request expires. Data: WaitQuery, or nothing. Reply: Status.
	APIWait = "wait"
	// APIRun combines APIStart and APIWait. It starts the saga, unless the saga was already started
	// with the same input. The reply is sent when the saga has ended or is parked, or when the
	// request expires. Attributes and data: those of APIStart. Reply: Status without the input; if
	// the request expires, also without steps.
	APIRun = "run"
	// APIOperate executes an operator's decision. Attribute: Saga. Data: Decision. Reply: Status.
	APIOperate = "operate"
	// APIOperateAll executes an operator's decision on every saga that a filter matches, page by
	// page. Data: OperateAllQuery. Reply: OperateAllReply.
	APIOperateAll = "operate-all"
	// APIList lists sagas. Data: ListQuery. Reply: ListReply.
	APIList = "list"
	// APICount counts sagas. Data: Filter. Reply: CountReply.
	APICount = "count"
	// APIWatch returns the sagas that have changed. The reply is sent when there is one, or when
	// the request expires. Send the next request with the position in the reply. Attribute: Saga,
	// to watch a single saga. Data: WatchQuery. Reply: WatchReply.
	APIWatch = "watch"
	// APIHistory returns a saga's recorded events. Attribute: Saga. Data: HistoryQuery, or nothing.
	// Reply: HistoryReply.
	APIHistory = "history"
	// APIDefine registers a definition. Data: the definition as JSON or YAML. Reply:
	// DefinitionReply.
	APIDefine = "define"
	// APICheckDefinition is like APIDefine, but stores nothing. Reply: DefinitionReply.
	APICheckDefinition = "check-definition"
	// APIDefinitions lists definitions. Reply: DefinitionsReply.
	APIDefinitions = "definitions"
	// APIDefinition returns a definition with its content. Attribute: Definition; version 0 means
	// the newest. Reply: DefinitionReply.
	APIDefinition = "definition"
	// APICompareDefinitions returns the differences between two definitions. Data: CompareQuery.
	// Reply: CompareReply.
	APICompareDefinitions = "compare-definitions"
	// APIParticipants lists the participants. Reply: ParticipantsReply.
	APIParticipants = "participants"
	// APIOverview summarises the coordinator's state. Reply: Overview.
	APIOverview = "overview"
	// APIDeadLetters lists dead letters. Data: DeadLettersQuery. Reply: DeadLettersReply.
	APIDeadLetters = "dead-letters"
	// APIReplayDeadLetters publishes dead letters again as they were received, and removes them.
	// Data: DeadLettersRequest. Reply: DeadLettersDone.
	APIReplayDeadLetters = "replay-dead-letters"
	// APIDiscardDeadLetters removes dead letters. Data: DeadLettersRequest. Reply:
	// DeadLettersDone.
	APIDiscardDeadLetters = "discard-dead-letters"
	// APIOrphans compares keys of a participant's inbox with the coordinator's sagas. Data:
	// OrphansQuery. Reply: OrphansReply.
	APIOrphans = "orphans"
	// APIPurgeDeadLetters removes dead letters that match a filter. Data: PurgeDeadLettersRequest.
	// Reply: PurgeDeadLettersReply.
	APIPurgeDeadLetters = "purge-dead-letters"
	// APIRemoveDamaged replaces a saga with an unreadable record by a tombstone. Attribute: Saga.
	// Data: RemoveDamagedRequest. Reply: Status.
	APIRemoveDamaged = "remove-damaged"
	// APISubscribe creates a participant's subscription to its commands, on a bus where the
	// coordinator does that; see Provisioner. The participant is the last token of the subject; see
	// Subjects.Subscribe. Data: SubscribeQuery, or nothing. Reply: SubscribeReply. The request can
	// be repeated safely.
	APISubscribe = "subscribe"
)

// SubscribeQuery describes a participant's subscription. All processes of the participant share one
// subscription; it has the settings of the latest request.
type SubscribeQuery struct {
	AckWaitMS   int64 `json:"ack_wait_ms,omitempty"`   // redelivery after this time, 1 s to 1 h; 0 means 30 s
	MaxInFlight int   `json:"max_in_flight,omitempty"` // limit on unacknowledged commands, up to 65,536; 0 means 4096
	Bundle      int   `json:"bundle,omitempty"`        // maximum commands per message; 0 means one
}

// SubscribeReply names the stream and the consumer from which a participant receives its commands.
type SubscribeReply struct {
	Stream   string `json:"stream"`           // name on the bus, such as SAGA_COMMANDS
	Consumer string `json:"consumer"`         // the stream's consumer to pull from
	Bundle   int    `json:"bundle,omitempty"` // maximum answers per message; 0 means one
}

// Bounds of SubscribeQuery.
const (
	MinAckWait    = time.Second
	MaxAckWait    = time.Hour
	MostInFlight  = 1 << 16
	MaxBundleSize = 1 << 10
)

// Status is the state of a saga at a revision.
type Status struct {
	ID         contract.SagaID        `json:"id"`
	Definition contract.DefinitionRef `json:"definition"`
	Phase      contract.Phase         `json:"phase"`
	Revision   uint64                 `json:"revision"`
	Existed    bool                   `json:"existed,omitempty"` // of a start or run: whether the saga existed already
	Removed    bool                   `json:"removed,omitempty"` // whether it ended and was removed; no more is known
	Started    time.Time              `json:"started,omitzero"`
	Updated    time.Time              `json:"updated,omitzero"`
	Ended      time.Time              `json:"ended,omitzero"`
	Reason     string                 `json:"reason,omitempty"`   // why it is compensating, compensated or parked
	Paused     *Pause                 `json:"paused,omitempty"`   // set if an operator has paused it
	Deadline   time.Time              `json:"deadline,omitzero"`  // when compensation starts automatically
	Overdue    bool                   `json:"overdue,omitempty"`  // whether the deadline passed after the pivot
	TraceID    string                 `json:"trace_id,omitempty"` // W3C trace id of the start
	Removal    *Removal               `json:"removal,omitempty"`  // set if it was damaged and an operator removed it
	Problem    string                 `json:"problem,omitempty"`  // why it is incomplete: record damaged, or definition missing

	// Omitted in lists, and in the reply to a start:
	Birth     contract.Birth            `json:"birth,omitzero"`       // distinguishes sagas with the same id
	Legal     []contract.LegalOperation `json:"legal,omitempty"`      // currently legal operations
	Undo      [][]contract.StepName     `json:"undo,omitempty"`       // what compensation would undo now: waves of step names
	PastPivot bool                      `json:"past_pivot,omitempty"` // whether compensation is no longer possible
	Steps     []StepStatus              `json:"steps,omitempty"`
	Input     *Payload                  `json:"input,omitempty"` // input of the saga
}

// Payload is user data. It is JSON, or in Binary if it is not JSON.
type Payload struct {
	ContentType string          `json:"content_type,omitempty"` // "" means application/json
	Size        int             `json:"size_bytes"`             // set even if the data is omitted
	JSON        json.RawMessage `json:"json,omitempty"`
	Binary      []byte          `json:"binary,omitempty"`
	LeftOut     bool            `json:"left_out,omitempty"` // whether the data was too large for the reply
}

// Pause describes who paused a saga, and why. While it is paused, its timers do not fire.
type Pause struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// Removal describes who removed a damaged saga, and why.
type Removal struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Damage string    `json:"damage"` // what was unreadable
}

// RemoveDamagedRequest is an operator's decision to remove a damaged saga. Both fields are
// required.
type RemoveDamagedRequest struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// StepStatus is the state of one step.
type StepStatus struct {
	Name        contract.StepName   `json:"name"`
	Kind        contract.Kind       `json:"kind"`
	Status      contract.StepStatus `json:"status"`
	Direction   contract.Direction  `json:"direction"`             // current direction: do or undo
	Participant string              `json:"participant,omitempty"` // participant of the current direction
	Action      string              `json:"action,omitempty"`      // action of the current direction
	Attempt     int                 `json:"attempt,omitempty"`
	MaxAttempt  int                 `json:"max_attempt,omitempty"` // last attempt in the current direction
	Due         time.Time           `json:"due,omitzero"`          // when the attempt times out or, if Waiting, begins
	Waiting     bool                `json:"waiting,omitempty"`     // whether the step waits for the next attempt
	Parked      time.Time           `json:"parked,omitzero"`       // when it was parked; zero if it is not parked
	Reason      string              `json:"reason,omitempty"`
	Result      json.RawMessage     `json:"result,omitempty"` // result of the do; a note if it is too large
	ResultSize  int                 `json:"result_size_bytes,omitempty"`
	LeftOut     bool                `json:"result_left_out,omitempty"` // whether Result is such a note
}

// AtRest reports whether the saga has ended, is parked, or was removed, so that there is nothing to
// wait for.
func (s *Status) AtRest() bool {
	return s.Removed || s.Phase.AtRest()
}

// Step returns the status of a step, or nil if the status contains no step with that name.
func (s *Status) Step(name contract.StepName) *StepStatus {
	for i := range s.Steps {
		if s.Steps[i].Name == name {
			return &s.Steps[i]
		}
	}
	return nil
}

// Decision is an operator's decision about a saga.
type Decision struct {
	Operation contract.Operation `json:"operation"` // cancel, retry, resolve, skip, compensate, abandon, pause, resume
	Step      contract.StepName  `json:"step,omitempty"`
	By        string             `json:"by"`
	Reason    string             `json:"reason"`
	Outcome   contract.Outcome   `json:"outcome,omitempty"` // only for resolve: completed or rejected
	Result    json.RawMessage    `json:"result,omitempty"`  // only for resolve

	// ExpectedRevision is the revision that the saga must have, or else the decision is refused. 0
	// means any revision.
	ExpectedRevision uint64 `json:"expected_revision,omitempty"`
}

// WaitQuery configures a wait.
type WaitQuery struct {
	// Brief limits the reply to id, definition, phase and revision if the request expires. Reading
	// the rest accounts for most of the cost of such a reply.
	Brief bool `json:"brief,omitempty"`
}

// HistoryQuery selects a part of a history.
type HistoryQuery struct {
	From  uint64 `json:"from,omitempty"`  // revision of the first event; 0 means 1
	Limit int    `json:"limit,omitempty"` // maximum number of events; 0 means as many as fit into a reply
	// WithSaga adds the saga's state after each event to the reply.
	WithSaga bool `json:"with_saga,omitempty"`
}

// HistoryReply contains the recorded events of a saga, oldest first.
type HistoryReply struct {
	Events []HistoryEvent `json:"events"`
	Next   uint64         `json:"next,omitempty"` // From of the next request; 0 if there are no more events
}

// HistoryEvent is a recorded event. Revision is the saga's revision after the event.
type HistoryEvent struct {
	Revision    uint64             `json:"revision"`
	Type        contract.EventType `json:"type"`
	At          time.Time          `json:"at"`
	Participant string             `json:"participant,omitempty"`
	Timer       contract.Timer     `json:"timer,omitempty"` // only for timer_fired
	Step        contract.StepName  `json:"step,omitempty"`
	Direction   contract.Direction `json:"direction,omitempty"`
	Attempt     int                `json:"attempt,omitempty"`
	Outcome     contract.Outcome   `json:"outcome,omitempty"`
	Operation   contract.Operation `json:"operation,omitempty"`
	By          string             `json:"by,omitempty"`
	Reason      string             `json:"reason,omitempty"`
	Payload     json.RawMessage    `json:"payload,omitempty"` // a note if the payload is not JSON
	ContentType string             `json:"content_type,omitempty"`
	PayloadSize int                `json:"payload_size_bytes,omitempty"`
	Binary      []byte             `json:"payload_binary,omitempty"` // the payload if it is not JSON
	Saga        *Status            `json:"saga,omitempty"`           // state after the event; see HistoryQuery.WithSaga
	Problem     string             `json:"problem,omitempty"`        // why the event or Saga is missing: damaged record
}

// Refusal is the data of a reply that refuses a request. It is set if there are details beyond code
// and reason.
type Refusal struct {
	Legal      []contract.LegalOperation `json:"legal,omitempty"`      // currently legal operations of the saga
	Violations []Violation               `json:"violations,omitempty"` // invalid fields
	Revision   uint64                    `json:"revision,omitempty"`   // the saga's revision, if it caused the refusal
}

// RequestError describes the refusal of a request.
type RequestError struct {
	Code       Code
	Reason     string        // message for people; says what would be valid
	RetryAfter time.Duration // how long to wait before the next request; 0 if unknown
	Refusal
}

func (e *RequestError) Error() string { return e.Reason }

// Detailed reports whether there are details beyond code, reason and RetryAfter.
func (e *RequestError) Detailed() bool {
	return len(e.Legal) > 0 || len(e.Violations) > 0 || e.Revision != 0
}

// Violation is an invalid field.
type Violation struct {
	Field   string `json:"field"`   // path of the field, such as phases[1] or steps[3].do.with
	Problem string `json:"problem"` // what is wrong and how to fix it
}

// Code is the kind of a refusal, in Envelope.Code. The message text is in Envelope.Reason. A reply
// without code is a success.
type Code string

// The codes in use, a subset of those of Connect and gRPC.
const (
	CodeInvalidArgument    Code = "invalid_argument"    // the request is invalid; the reason says how to fix it
	CodeNotFound           Code = "not_found"           // the saga or definition does not exist
	CodeAlreadyExists      Code = "already_exists"      // the id or version exists with different content
	CodeFailedPrecondition Code = "failed_precondition" // not legal in the current state; the reason says what is
	CodeResourceExhausted  Code = "resource_exhausted"  // a limit was reached; retry later
	CodeUnavailable        Code = "unavailable"         // the coordinator is starting, stopping or cannot commit; retry
	CodeInternal           Code = "internal"
)
