package transport

import (
	"strconv"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Envelope is one message: its CloudEvents 1.0 attributes, the saga's attributes and the data, as
// unchanged bytes. Each bus has its own encoding; for NATS see docs/WIRE.md.
type Envelope struct {
	Subject string // where it is sent to, or was received on

	// DedupID is the id by which the bus deduplicates within its window: an optimisation, never a
	// guarantee. It must be unguessable (a keyed hash or random), because deduplication is per
	// stream and a guessed id would suppress another client's message. Empty: no deduplication.
	DedupID string

	ID          string    // CloudEvents id: saga/birth/step/direction/attempt for commands
	Source      string    // CloudEvents source, a URI reference such as /amends/coordinator
	Type        string    // CloudEvents type, one of the Type constants
	Time        time.Time // CloudEvents time
	ContentType string    // CloudEvents datacontenttype; "" means application/json

	TraceParent string // W3C traceparent
	TraceState  string // W3C tracestate

	// TraceDropped: a part of the message's trace context was dropped because it may not be passed
	// on; see TraceContext. Not sent.
	TraceDropped bool

	// Caller identifies who made a request, as far as the carrier knows. It is used for limits, and
	// is not authenticated. "": unknown. Not sent.
	Caller string

	Saga       contract.SagaID
	Birth      contract.Birth // of a command, an answer and an announcement: identifies the saga together with Saga
	Definition contract.DefinitionRef
	Step       contract.StepName
	Direction  contract.Direction
	Attempt    int       // from 1
	ReplyTo    string    // subject for the answer
	Expires    time.Time // when the sender stops waiting; zero: never
	Owner      Owner     // of a command and an announcement: the claim under which it was sent; zero: unknown
	Reason     string    // of a rejection, a failure, a parking, a dead letter
	Final      bool      // of a failure: retrying cannot help
	Code       string    // of a refused request: see Code

	// RetryAfter is the suggested wait before a refused request is repeated, in whole milliseconds
	// up to MaxRetryAfter; 0: none.
	RetryAfter time.Duration

	Data []byte
}

// CloudEvents types.
const (
	TypeCommand   = "dev.amends.command.v1"
	TypeCompleted = "dev.amends.completed.v1"
	TypeRejected  = "dev.amends.rejected.v1"
	TypeFailed    = "dev.amends.failed.v1"
	TypeLifecycle = "dev.amends.lifecycle.v1"
	TypeDead      = "dev.amends.dead.v1"
	TypeRequest   = "dev.amends.request.v1" // to the coordinator's API
	TypeReply     = "dev.amends.reply.v1"   // from it
	TypeBundle    = "dev.amends.bundle.v1"  // several commands or answers in one message of the bus; no envelope has it
)

// CoordinatorSource is the CloudEvents source of a coordinator's messages.
const CoordinatorSource = "/amends/coordinator"

// usualLength is the usual maximum length of an id or subject; a longer one costs one more
// allocation.
const usualLength = 192

// CommandID returns the CloudEvents id of one attempt's command: saga/birth/step/direction/attempt.
// It is key.String() and the attempt in a single allocation.
func CommandID(key contract.Key, attempt int) string {
	var room [usualLength]byte
	return string(appendCommandID(room[:0], key, attempt))
}

// AnswerID returns the CloudEvents id of an answer: its command's id and the outcome.
func AnswerID(key contract.Key, attempt int, outcome contract.Outcome) string {
	var room [usualLength]byte
	return string(append(append(appendCommandID(room[:0], key, attempt), '/'), outcome...))
}

func appendCommandID(b []byte, key contract.Key, attempt int) []byte {
	b = append(b, key.Saga...)
	b = key.Birth.Append(append(b, '/'))
	b = append(append(b, '/'), key.Step...)
	b = append(append(b, '/'), key.Direction...)
	return strconv.AppendInt(append(b, '/'), int64(attempt), 10)
}

// Key returns the idempotency key of the command that the envelope is or answers.
func (e *Envelope) Key() contract.Key {
	return contract.Key{Saga: e.Saga, Birth: e.Birth, Step: e.Step, Direction: e.Direction}
}

// MaxRetryAfter bounds Envelope.RetryAfter.
const MaxRetryAfter = 24 * time.Hour

// TraceID returns the trace id in the envelope's W3C traceparent, "" if there is none.
func (e *Envelope) TraceID() string { return TraceID(e.TraceParent) }

// TraceID returns the trace id in a W3C traceparent, "" if there is none.
func TraceID(traceParent string) string {
	if len(traceParent) < MaxTraceParent || traceParent[2] != '-' || traceParent[35] != '-' {
		return ""
	}
	return traceParent[3:35]
}

// JSON is the default content type.
const JSON = "application/json"
