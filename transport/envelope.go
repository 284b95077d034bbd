package transport

import (
	"strconv"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Envelope is a message. It has CloudEvents 1.0 attributes, attributes of the saga, and data as
// unchanged bytes. Each bus encodes it differently; docs/WIRE.md describes the encoding for NATS.
type Envelope struct {
	Subject string // subject to which it is sent, or on which it was received

	// DedupID is the id by which the bus deduplicates within a time window, which is an
	// optimisation and not a guarantee. It must be unguessable (a keyed hash or random):
	// deduplication is per stream, and a guessed id would suppress another client's message. ""
	// disables deduplication.
	DedupID string

	ID          string    // CloudEvents id; the id of a command is saga/birth/step/direction/attempt
	Source      string    // CloudEvents source, a URI reference, such as /amends/coordinator
	Type        string    // CloudEvents type, one of the Type constants
	Time        time.Time // CloudEvents time
	ContentType string    // CloudEvents datacontenttype; "" means application/json

	TraceParent string // W3C traceparent
	TraceState  string // W3C tracestate

	// TraceDropped reports whether a part of the message's trace context was dropped because it
	// must not be forwarded; see TraceContext. It is not sent.
	TraceDropped bool

	// Caller identifies the sender of a request as far as the bus knows. It is used for limits and
	// is not authenticated. "" means unknown. It is not sent.
	Caller string

	Saga       contract.SagaID
	Birth      contract.Birth // of commands, answers and announcements; identifies the saga together with Saga
	Definition contract.DefinitionRef
	Step       contract.StepName
	Direction  contract.Direction
	Attempt    int       // number of the attempt, from 1
	ReplyTo    string    // subject for the answer
	Expires    time.Time // when the sender stops waiting; zero means never
	Owner      Owner     // of commands and announcements: the claim under which they were sent; zero means unknown
	Reason     string    // of a rejection, a failure, a parked saga or a dead letter
	Final      bool      // of a failure: whether retries are useless
	Code       string    // of a refused request; see api.Code

	// RetryAfter is how long to wait before a refused request is sent again, in whole milliseconds
	// up to MaxRetryAfter. 0 means no suggestion.
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
	TypeRequest   = "dev.amends.request.v1" // request to the coordinator's API
	TypeReply     = "dev.amends.reply.v1"   // reply of the coordinator's API
	TypeBundle    = "dev.amends.bundle.v1"  // several commands or answers in one bus message; never in an envelope
)

// CoordinatorSource is the CloudEvents source of a coordinator's messages.
const CoordinatorSource = "/amends/coordinator"

// CommandID returns the CloudEvents id of the command for an attempt:
// saga/birth/step/direction/attempt.
func CommandID(key contract.Key, attempt int) string {
	return key.String() + "/" + strconv.Itoa(attempt)
}

// AnswerID returns the CloudEvents id of an answer. It consists of the id of the command and the
// outcome.
func AnswerID(key contract.Key, attempt int, outcome contract.Outcome) string {
	return CommandID(key, attempt) + "/" + string(outcome)
}

// Key returns the idempotency key of the command. For an answer, it returns the key of the answered
// command.
func (e *Envelope) Key() contract.Key {
	return contract.Key{Saga: e.Saga, Birth: e.Birth, Step: e.Step, Direction: e.Direction}
}

// MaxRetryAfter is the maximum of Envelope.RetryAfter.
const MaxRetryAfter = 24 * time.Hour

// TraceID returns the trace id of the envelope's W3C traceparent, or "" if there is none.
func (e *Envelope) TraceID() string { return TraceID(e.TraceParent) }

// TraceID returns the trace id of a W3C traceparent, or "" if there is none.
func TraceID(traceParent string) string {
	if len(traceParent) < MaxTraceParent || traceParent[2] != '-' || traceParent[35] != '-' {
		return ""
	}
	return traceParent[3:35]
}

// JSON is the default content type.
const JSON = "application/json"
