package transport

import (
	"encoding/json"
	"time"

	"github.com/amends-dev/amends/contract"
)

// The coordinator's requests, as methods of Subjects.API. Data is JSON; other parameters are in the
// request's attributes.
const (
	// APIStart starts a saga. Attributes: Saga (empty: the coordinator generates an id),
	// Definition, ContentType, TraceParent. Data: the input. Reply: Status.
	APIStart = "start"
	// APIGet returns a saga's status. Attribute: Saga. Reply: Status.
	APIGet = "get"
	// APIWait is APIGet, but replies when the saga has ended or is parked, or when the request
	// Expires. Data: WaitQuery, or nothing. Reply: Status.
	APIWait = "wait"
	// APIRun is APIStart and APIWait in one request: it starts the saga, unless it was started
	// before with the same input, and replies when it has ended or is parked, or when the request
	// Expires. Attributes and data: those of APIStart. Reply: Status without the input; on expiry,
	// also without steps.
	APIRun = "run"
	// APIOperate executes an operator's decision. Attribute: Saga. Data: Decision. Reply: Status.
	APIOperate = "operate"
	// APIOperateAll executes an operator's decision on every saga that a filter matches, a page at
	// a time. Data: OperateAllQuery. Reply: OperateAllReply.
	APIOperateAll = "operate-all"
	// APIList lists sagas. Data: ListQuery. Reply: ListReply.
	APIList = "list"
	// APICount counts sagas. Data: Filter. Reply: CountReply.
	APICount = "count"
	// APIWatch replies with the sagas that changed, once there is one or when the request Expires.
	// Ask again with the position in the reply. Attribute: Saga, for one saga. Data: WatchQuery.
	// Reply: WatchReply.
	APIWatch = "watch"
	// APIHistory returns a saga's recorded events. Attribute: Saga. Data: HistoryQuery, or nothing.
	// Reply: HistoryReply.
	APIHistory = "history"
	// APIDefine registers a definition. Data: the definition as JSON or YAML. Reply:
	// DefinitionReply.
	APIDefine = "define"
	// APICheckDefinition is APIDefine without storing anything. Reply: DefinitionReply.
	APICheckDefinition = "check-definition"
	// APIDefinitions lists definitions. Reply: DefinitionsReply.
	APIDefinitions = "definitions"
	// APIDefinition returns one definition with its content. Attribute: Definition; version 0 is
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
	// APIReplayDeadLetters publishes dead letters again as received and removes them. Data:
	// DeadLettersRequest. Reply: DeadLettersDone.
	APIReplayDeadLetters = "replay-dead-letters"
	// APIDiscardDeadLetters removes dead letters. Data: DeadLettersRequest. Reply:
	// DeadLettersDone.
	APIDiscardDeadLetters = "discard-dead-letters"
	// APIOrphans checks keys of a participant's inbox against the coordinator's sagas. Data:
	// OrphansQuery. Reply: OrphansReply.
	APIOrphans = "orphans"
	// APIPurgeDeadLetters removes the dead letters that match. Data:
	// PurgeDeadLettersRequest. Reply: PurgeDeadLettersReply.
	APIPurgeDeadLetters = "purge-dead-letters"
	// APIRemoveDamaged replaces a saga whose record cannot be read by a tombstone. Attribute: Saga.
	// Data: RemoveDamagedRequest. Reply: Status.
	APIRemoveDamaged = "remove-damaged"
	// APISubscribe creates a participant's subscription to its commands on a bus where the
	// coordinator does that; see Provisioner. The participant is the last token of the subject:
	// Subjects.Subscribe. Data: SubscribeQuery, or nothing. Reply: SubscribeReply. It is safe to
	// repeat.
	APISubscribe = "subscribe"
)

// SubscribeQuery configures a participant's subscription. All of its processes share one; the last
// request decides.
type SubscribeQuery struct {
	AckWaitMS   int64 `json:"ack_wait_ms,omitempty"`   // time until an unacknowledged command is redelivered, 1 s to 1 h; 0: 30 s
	MaxInFlight int   `json:"max_in_flight,omitempty"` // limit on unacknowledged commands, up to 65,536; 0: 4096
	Bundle      int   `json:"bundle,omitempty"`        // commands per message; 0: one
}

// SubscribeReply says where a participant receives its commands.
type SubscribeReply struct {
	Stream   string `json:"stream"`           // its name on the bus, such as SAGA_COMMANDS
	Consumer string `json:"consumer"`         // of that stream: pull from it
	Bundle   int    `json:"bundle,omitempty"` // answers per message; 0: one
}

// Bounds of SubscribeQuery.
const (
	MinAckWait    = time.Second
	MaxAckWait    = time.Hour
	MostInFlight  = 1 << 16
	MaxBundleSize = 1 << 10
)

// Status is a saga's state at a revision.
type Status struct {
	ID         contract.SagaID        `json:"id"`
	Definition contract.DefinitionRef `json:"definition"`
	Phase      contract.Phase         `json:"phase"`
	Revision   uint64                 `json:"revision"`
	Existed    bool                   `json:"existed,omitempty"` // of a start or run: the saga existed already
	Removed    bool                   `json:"removed,omitempty"` // ended and removed; no more than this is known
	Started    time.Time              `json:"started,omitzero"`
	Updated    time.Time              `json:"updated,omitzero"`
	Ended      time.Time              `json:"ended,omitzero"`
	Reason     string                 `json:"reason,omitempty"`   // why it compensates, was compensated or is parked
	Paused     *Pause                 `json:"paused,omitempty"`   // by an operator
	Deadline   time.Time              `json:"deadline,omitzero"`  // when it starts to compensate by itself
	Overdue    bool                   `json:"overdue,omitempty"`  // the deadline has passed, but after the point of no return
	TraceID    string                 `json:"trace_id,omitempty"` // W3C trace id of the start
	Removal    *Removal               `json:"removal,omitempty"`  // set if it was damaged and an operator removed it
	Problem    string                 `json:"problem,omitempty"`  // why it is incomplete: record damaged, or definition missing

	// Not in lists, and not in the reply to a start.
	Birth     contract.Birth            `json:"birth,omitzero"`       // distinguishes sagas with the same id
	Legal     []contract.LegalOperation `json:"legal,omitempty"`      // operations that are legal now
	Undo      [][]contract.StepName     `json:"undo,omitempty"`       // what compensation would undo now: waves of step names
	PastPivot bool                      `json:"past_pivot,omitempty"` // compensation is no longer possible
	Steps     []StepStatus              `json:"steps,omitempty"`
	Input     *Payload                  `json:"input,omitempty"` // of the start
}

// Payload is user data: JSON, or Binary if it is anything else.
type Payload struct {
	ContentType string          `json:"content_type,omitempty"` // "": application/json
	Size        int             `json:"size_bytes"`             // set even if the data is left out
	JSON        json.RawMessage `json:"json,omitempty"`
	Binary      []byte          `json:"binary,omitempty"`
	LeftOut     bool            `json:"left_out,omitempty"` // it does not fit into the reply
}

// Pause says who paused a saga, and why. Timers stop while it is paused.
type Pause struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// Removal says who removed a damaged saga, and why.
type Removal struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Damage string    `json:"damage"` // what could not be read
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
	Direction   contract.Direction  `json:"direction"`             // the current one: do or undo
	Participant string              `json:"participant,omitempty"` // for the current direction
	Action      string              `json:"action,omitempty"`      // for the current direction
	Attempt     int                 `json:"attempt,omitempty"`
	MaxAttempt  int                 `json:"max_attempt,omitempty"` // the last attempt in the current direction
	Due         time.Time           `json:"due,omitzero"`          // when the attempt times out or, if Waiting, begins
	Waiting     bool                `json:"waiting,omitempty"`     // for the next attempt
	Parked      time.Time           `json:"parked,omitzero"`       // since when it is parked; zero: it is not
	Reason      string              `json:"reason,omitempty"`
	Result      json.RawMessage     `json:"result,omitempty"` // of its do; a note if it does not fit into the reply
	ResultSize  int                 `json:"result_size_bytes,omitempty"`
	LeftOut     bool                `json:"result_left_out,omitempty"` // Result is such a note
}

// AtRest reports whether the saga has ended, is parked or was removed, so that there is nothing to
// wait for.
func (s *Status) AtRest() bool {
	return s.Removed || s.Phase.AtRest()
}

// Step returns where a step stands; nil if the status has no step of that name.
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
	Outcome   contract.Outcome   `json:"outcome,omitempty"` // of resolve: completed or rejected
	Result    json.RawMessage    `json:"result,omitempty"`  // of resolve

	// ExpectedRevision refuses the decision if the saga is at another revision; 0: any.
	ExpectedRevision uint64 `json:"expected_revision,omitempty"`
}

// WaitQuery configures a wait.
type WaitQuery struct {
	// Brief: if the request expires, reply only with id, definition, phase and revision. Reading
	// the rest is most of such a reply's cost.
	Brief bool `json:"brief,omitempty"`
}

// HistoryQuery selects a part of a history.
type HistoryQuery struct {
	From  uint64 `json:"from,omitempty"`  // revision of the first event wanted; 0: 1
	Limit int    `json:"limit,omitempty"` // 0: as many as fit into a reply
	// WithSaga adds the saga's state after each event.
	WithSaga bool `json:"with_saga,omitempty"`
}

// HistoryReply is the recorded events of a saga, oldest first.
type HistoryReply struct {
	Events []HistoryEvent `json:"events"`
	Next   uint64         `json:"next,omitempty"` // From of the next part; 0: this was the last
}

// HistoryEvent is one recorded event; Revision is the saga's revision after it.
type HistoryEvent struct {
	Revision    uint64             `json:"revision"`
	Type        contract.EventType `json:"type"`
	At          time.Time          `json:"at"`
	Participant string             `json:"participant,omitempty"`
	Timer       contract.Timer     `json:"timer,omitempty"` // of timer_fired
	Step        contract.StepName  `json:"step,omitempty"`
	Direction   contract.Direction `json:"direction,omitempty"`
	Attempt     int                `json:"attempt,omitempty"`
	Outcome     contract.Outcome   `json:"outcome,omitempty"`
	Operation   contract.Operation `json:"operation,omitempty"`
	By          string             `json:"by,omitempty"`
	Reason      string             `json:"reason,omitempty"`
	Payload     json.RawMessage    `json:"payload,omitempty"` // a note if it is not JSON
	ContentType string             `json:"content_type,omitempty"`
	PayloadSize int                `json:"payload_size_bytes,omitempty"`
	Binary      []byte             `json:"payload_binary,omitempty"` // the payload, if it is not JSON
	Saga        *Status            `json:"saga,omitempty"`           // state after this event; see HistoryQuery.WithSaga
	Problem     string             `json:"problem,omitempty"`        // why this event, or Saga, is missing: its record is damaged
}

// Refusal is the data of a reply that refuses a request, if there is more to say than code and
// reason.
type Refusal struct {
	Legal      []contract.LegalOperation `json:"legal,omitempty"`      // operations that are legal on the saga now
	Violations []Violation               `json:"violations,omitempty"` // fields that were wrong
	Revision   uint64                    `json:"revision,omitempty"`   // the saga's revision, if that is the reason
}

// RequestError is a request that was refused.
type RequestError struct {
	Code       Code
	Reason     string        // for people; says what would be right
	RetryAfter time.Duration // when to ask again; 0: not said
	Refusal
}

func (e *RequestError) Error() string { return e.Reason }

// Detailed reports whether there is more to say than code, reason and when to ask again.
func (e *RequestError) Detailed() bool {
	return len(e.Legal) > 0 || len(e.Violations) > 0 || e.Revision != 0
}

// Violation is an invalid field.
type Violation struct {
	Field   string `json:"field"`   // its path, such as phases[1] or steps[3].do.with
	Problem string `json:"problem"` // what is wrong and how to fix it
}

// Code says why a request was refused. It is in Envelope.Code, and a message in Envelope.Reason; a
// reply without code is a success.
type Code string

// The codes used, out of those of Connect and gRPC.
const (
	CodeInvalidArgument    Code = "invalid_argument"    // the request is invalid; the reason says how to fix it
	CodeNotFound           Code = "not_found"           // no such saga or definition
	CodeAlreadyExists      Code = "already_exists"      // the id or version exists with other content
	CodeFailedPrecondition Code = "failed_precondition" // not legal now; the reason says what is
	CodeResourceExhausted  Code = "resource_exhausted"  // a limit is reached; retry later
	CodeUnavailable        Code = "unavailable"         // the coordinator is starting, stopping or cannot commit; retry
	CodeInternal           Code = "internal"
)
