package transport

import (
	"encoding/json"
	"time"

	"github.com/amends-dev/amends/contract"
)

// The coordinator's requests, as methods of Subjects.API. Data is JSON; what is
// not named here travels in the request's attributes.
const (
	// APIStart starts a saga. Attributes: Saga (empty: the coordinator makes an
	// id), Definition, ContentType, TraceParent. Data: the input. Reply: Status.
	APIStart = "start"
	// APIGet answers where a saga stands. Attribute: Saga. Reply: Status.
	APIGet = "get"
	// APIWait is APIGet that answers when the saga has ended or is parked, or when
	// the request Expires, whichever comes first. Data: WaitQuery, or nothing. Reply:
	// Status.
	APIWait = "wait"
	// APIRun is APIStart and APIWait in one request: it answers when the saga, which
	// is started unless it was before with the same input, has ended or is parked, or
	// when the request Expires. Attributes and data: those of APIStart. Reply: Status,
	// without the input; without steps as well when the request has expired.
	APIRun = "run"
	// APIOperate takes a person's decision. Attribute: Saga. Data: Decision.
	// Reply: Status.
	APIOperate = "operate"
	// APIOperateAll takes a person's decision about every saga that a filter matches,
	// a page at a time. Data: OperateAllQuery. Reply: OperateAllReply.
	APIOperateAll = "operate-all"
	// APIList lists sagas. Data: ListQuery. Reply: ListReply.
	APIList = "list"
	// APICount counts sagas. Data: Filter. Reply: CountReply.
	APICount = "count"
	// APIWatch answers which sagas have moved, once one has or the request Expires.
	// Ask again with the position that it answers. Attribute: Saga, for one saga.
	// Data: WatchQuery. Reply: WatchReply.
	APIWatch = "watch"
	// APIHistory answers the recorded events of a saga. Attribute: Saga. Data:
	// HistoryQuery, or nothing. Reply: HistoryReply.
	APIHistory = "history"
	// APIDefine registers a definition. Data: it as JSON or YAML. Reply: DefinitionReply.
	APIDefine = "define"
	// APICheckDefinition is APIDefine that stores nothing: what would be refused is
	// refused. Reply: DefinitionReply.
	APICheckDefinition = "check-definition"
	// APIDefinitions lists definitions. Reply: DefinitionsReply.
	APIDefinitions = "definitions"
	// APIDefinition answers one definition with its content. Attribute: Definition;
	// version 0 is the newest. Reply: DefinitionReply.
	APIDefinition = "definition"
	// APICompareDefinitions says what differs between two definitions. Data:
	// CompareQuery. Reply: CompareReply.
	APICompareDefinitions = "compare-definitions"
	// APIParticipants says who answers. Reply: ParticipantsReply.
	APIParticipants = "participants"
	// APIOverview is the coordinator at a glance. Reply: Overview.
	APIOverview = "overview"
	// APIDeadLetters lists dead letters. Data: DeadLettersQuery. Reply: DeadLettersReply.
	APIDeadLetters = "dead-letters"
	// APIReplayDeadLetters publishes dead letters again as they came and removes
	// them. Data: DeadLettersRequest. Reply: DeadLettersDone.
	APIReplayDeadLetters = "replay-dead-letters"
	// APIDiscardDeadLetters removes dead letters. Data: DeadLettersRequest. Reply:
	// DeadLettersDone.
	APIDiscardDeadLetters = "discard-dead-letters"
	// APIOrphans says of which keys of a participant's inbox the coordinator does not
	// know what the participant did. Data: OrphansQuery. Reply: OrphansReply.
	APIOrphans = "orphans"
	// APIPurgeDeadLetters removes the dead letters that match. Data:
	// PurgeDeadLettersRequest. Reply: PurgeDeadLettersReply.
	APIPurgeDeadLetters = "purge-dead-letters"
	// APIRemoveDamaged puts a tombstone in the place of a saga that cannot be read.
	// Attribute: Saga. Data: RemoveDamagedRequest. Reply: Status.
	APIRemoveDamaged = "remove-damaged"
	// APISubscribe makes ready the subscription from which a participant takes its commands,
	// on a bus where the coordinator makes it; see Provisioner. The participant is one more
	// token of the subject: Subjects.Subscribe. Data: SubscribeQuery, or nothing. Reply:
	// SubscribeReply. Asking again is safe.
	APISubscribe = "subscribe"
)

// SubscribeQuery says how a participant takes its commands. All of its processes share
// one subscription; the last one that asks decides.
type SubscribeQuery struct {
	AckWaitMS   int64 `json:"ack_wait_ms,omitempty"`   // how long a command may stay unacknowledged before it comes again, 1 s to 1 h; 0: 30 s
	MaxInFlight int   `json:"max_in_flight,omitempty"` // commands that it is given at most without acknowledging any, up to 65,536; 0: 4096
	Bundle      int   `json:"bundle,omitempty"`        // commands that may come in one message; 0: one
}

// SubscribeReply says where a participant takes its commands.
type SubscribeReply struct {
	Stream   string `json:"stream"`           // as the bus calls it, such as SAGA_COMMANDS
	Consumer string `json:"consumer"`         // of that stream: pull from it
	Bundle   int    `json:"bundle,omitempty"` // answers that may go in one message; 0: one
}

// Bounds of SubscribeQuery.
const (
	MinAckWait    = time.Second
	MaxAckWait    = time.Hour
	MostInFlight  = 1 << 16
	MaxBundleSize = 1 << 10
)

// Status is where a saga stands, as of a revision.
type Status struct {
	ID         contract.SagaID        `json:"id"`
	Definition contract.DefinitionRef `json:"definition"`
	Phase      contract.Phase         `json:"phase"`
	Revision   uint64                 `json:"revision"`
	Existed    bool                   `json:"existed,omitempty"` // of a start or run: the saga was there already, with the same input
	Removed    bool                   `json:"removed,omitempty"` // ended so long ago that only this much is known
	Started    time.Time              `json:"started,omitzero"`
	Updated    time.Time              `json:"updated,omitzero"`
	Ended      time.Time              `json:"ended,omitzero"`
	Reason     string                 `json:"reason,omitempty"`   // why it goes back, went back or is parked
	Paused     *Pause                 `json:"paused,omitempty"`   // an operator holds it
	Deadline   time.Time              `json:"deadline,omitzero"`  // when it goes back by itself
	Overdue    bool                   `json:"overdue,omitempty"`  // the deadline has passed after the point of no return
	TraceID    string                 `json:"trace_id,omitempty"` // W3C trace id of the start
	Removal    *Removal               `json:"removal,omitempty"`  // it was damaged, and an operator removed it
	Problem    string                 `json:"problem,omitempty"`  // why it is not shown whole: its record is damaged, or its definition gone

	// Not in lists, and not in the reply to a start.
	Birth     contract.Birth            `json:"birth,omitzero"`       // tells it from earlier and later sagas with its id
	Legal     []contract.LegalOperation `json:"legal,omitempty"`      // operations that are legal now
	Undo      [][]contract.StepName     `json:"undo,omitempty"`       // what going back would undo now: waves of step names
	PastPivot bool                      `json:"past_pivot,omitempty"` // going back is not possible any more
	Steps     []StepStatus              `json:"steps,omitempty"`
	Input     *Payload                  `json:"input,omitempty"` // what it was started with
}

// Payload is data of the user's: JSON, or Binary if it is anything else.
type Payload struct {
	ContentType string          `json:"content_type,omitempty"` // "": application/json
	Size        int             `json:"size_bytes"`             // also when the data is left out
	JSON        json.RawMessage `json:"json,omitempty"`
	Binary      []byte          `json:"binary,omitempty"`
	LeftOut     bool            `json:"left_out,omitempty"` // it did not fit into the reply
}

// Pause says who paused a saga, and why. Its timers stand still since then.
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

// RemoveDamagedRequest is a person's decision to remove a damaged saga. Both are needed.
type RemoveDamagedRequest struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// StepStatus is where one step stands.
type StepStatus struct {
	Name        contract.StepName   `json:"name"`
	Kind        contract.Kind       `json:"kind"`
	Status      contract.StepStatus `json:"status"`
	Direction   contract.Direction  `json:"direction"`             // the present one: do or undo
	Participant string              `json:"participant,omitempty"` // whom it asks in the present direction
	Action      string              `json:"action,omitempty"`      // for what
	Attempt     int                 `json:"attempt,omitempty"`
	MaxAttempt  int                 `json:"max_attempt,omitempty"` // the attempt at which the present direction gives up
	Due         time.Time           `json:"due,omitzero"`          // when the attempt times out or, while waiting, when the next one goes out
	Waiting     bool                `json:"waiting,omitempty"`     // between two attempts
	Parked      time.Time           `json:"parked,omitzero"`       // since when it waits for an operator
	Reason      string              `json:"reason,omitempty"`
	Result      json.RawMessage     `json:"result,omitempty"` // of its do; a note when it does not fit into the reply
	ResultSize  int                 `json:"result_size_bytes,omitempty"`
	LeftOut     bool                `json:"result_left_out,omitempty"` // Result is such a note
}

// AtRest reports whether the saga has ended, is parked or was removed: nothing is left to wait for.
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

// Decision is a person's decision about a saga.
type Decision struct {
	Operation contract.Operation `json:"operation"` // cancel, retry, resolve, skip, compensate, abandon, pause, resume
	Step      contract.StepName  `json:"step,omitempty"`
	By        string             `json:"by"`
	Reason    string             `json:"reason"`
	Outcome   contract.Outcome   `json:"outcome,omitempty"` // of resolve: completed or rejected
	Result    json.RawMessage    `json:"result,omitempty"`  // of resolve

	// ExpectedRevision refuses the decision when the saga is not at this revision
	// any more; 0: as it stands.
	ExpectedRevision uint64 `json:"expected_revision,omitempty"`
}

// WaitQuery says how a wait is answered.
type WaitQuery struct {
	// Brief: when the request expires and the saga goes on, its id, definition, phase and
	// revision are enough. Reading the rest is most of what such an answer costs.
	Brief bool `json:"brief,omitempty"`
}

// HistoryQuery says which part of a history is wanted.
type HistoryQuery struct {
	From  uint64 `json:"from,omitempty"`  // revision of the first event wanted; 0: 1
	Limit int    `json:"limit,omitempty"` // 0: as many as fit into a reply
	// WithSaga also tells where the saga stood behind each event.
	WithSaga bool `json:"with_saga,omitempty"`
}

// HistoryReply is the recorded events of a saga, oldest first.
type HistoryReply struct {
	Events []HistoryEvent `json:"events"`
	Next   uint64         `json:"next,omitempty"` // From of the next part; 0: this was the last
}

// HistoryEvent is one recorded event; Revision is where it moved the saga to.
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
	Payload     json.RawMessage    `json:"payload,omitempty"` // a note when it is not JSON
	ContentType string             `json:"content_type,omitempty"`
	PayloadSize int                `json:"payload_size_bytes,omitempty"`
	Binary      []byte             `json:"payload_binary,omitempty"` // the payload, if it is not JSON
	Saga        *Status            `json:"saga,omitempty"`           // where it stood behind this event; see HistoryQuery.WithSaga
	Problem     string             `json:"problem,omitempty"`        // why it, or Saga, is not shown: its record is damaged
}

// Refusal is the data of a reply that refuses, when there is more to say than its
// code and its reason.
type Refusal struct {
	Legal      []contract.LegalOperation `json:"legal,omitempty"`      // operations that are legal on the saga now
	Violations []Violation               `json:"violations,omitempty"` // fields that were wrong
	Revision   uint64                    `json:"revision,omitempty"`   // what the saga is at, where that is the reason
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

// Violation is a field that was wrong.
type Violation struct {
	Field   string `json:"field"`   // its path, such as phases[1] or steps[3].do.with
	Problem string `json:"problem"` // what is wrong and what would be right
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
