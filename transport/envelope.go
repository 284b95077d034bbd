package transport

import (
	"strconv"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Envelope is one message: CloudEvents 1.0 attributes, the saga's attributes and
// the data, untouched bytes. How a bus writes it down is the bus's affair; for
// NATS see docs/WIRE.md.
type Envelope struct {
	Subject string // where it goes, or came from

	// DedupID is what the bus deduplicates within its window: an optimisation,
	// never a guarantee. It is not guessable by other users of the bus (a keyed
	// hash or random), because deduplication is per stream and a guessed id would
	// suppress somebody else's message. Empty: the bus does not deduplicate.
	DedupID string

	ID          string    // CloudEvents id: saga/birth/step/direction/attempt for commands
	Source      string    // CloudEvents source, a URI reference such as /amends/coordinator
	Type        string    // CloudEvents type, one of the Type constants
	Time        time.Time // CloudEvents time
	ContentType string    // CloudEvents datacontenttype; "" is read as application/json

	TraceParent string // W3C traceparent
	TraceState  string // W3C tracestate

	// TraceDropped: the trace context that the message came with, or a part of it, may
	// not be passed on and was dropped; see TraceContext. It is not sent.
	TraceDropped bool

	// Caller is, of a request, who makes it as far as its carrier can tell: what is counted
	// against limits, and no proof of anything. "": it cannot tell. It is not sent.
	Caller string

	Saga       contract.SagaID
	Birth      contract.Birth // of a command, an answer and an announcement: with Saga, which saga it is
	Definition contract.DefinitionRef
	Step       contract.StepName
	Direction  contract.Direction
	Attempt    int       // from 1
	ReplyTo    string    // subject on which the answer is expected
	Expires    time.Time // when nobody waits for this any more; zero: never
	Owner      Owner     // of a command and an announcement: under whose claim on the prefix it was sent; zero: not said
	Reason     string    // why: of a rejection, a failure, a parking, a dead letter
	Final      bool      // of a failure: trying again cannot help
	Code       string    // of a refused request: see Code

	// RetryAfter is, of a request that was refused for now, after how long it makes
	// sense to ask again, in whole milliseconds up to MaxRetryAfter; 0: not said.
	RetryAfter time.Duration

	Data []byte
}

// The CloudEvents types.
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

// CoordinatorSource is the CloudEvents source of what a coordinator sends.
const CoordinatorSource = "/amends/coordinator"

// usualLength is about what an id or a subject has at most: a longer one costs an
// allocation more.
const usualLength = 192

// CommandID is the CloudEvents id of one attempt's command:
// saga/birth/step/direction/attempt, which is key.String() and the attempt, made in one
// piece.
func CommandID(key contract.Key, attempt int) string {
	var room [usualLength]byte
	return string(appendCommandID(room[:0], key, attempt))
}

// AnswerID is the CloudEvents id of the answer to a command: that of the command and the
// outcome.
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

// Key is the idempotency key of the command that the envelope is, or answers.
func (e *Envelope) Key() contract.Key {
	return contract.Key{Saga: e.Saga, Birth: e.Birth, Step: e.Step, Direction: e.Direction}
}

// MaxRetryAfter bounds Envelope.RetryAfter.
const MaxRetryAfter = 24 * time.Hour

// TraceID is the trace id in the envelope's W3C traceparent, "" if there is none.
func (e *Envelope) TraceID() string { return TraceID(e.TraceParent) }

// TraceID is the trace id in a W3C traceparent, "" if there is none.
func TraceID(traceParent string) string {
	if len(traceParent) < MaxTraceParent || traceParent[2] != '-' || traceParent[35] != '-' {
		return ""
	}
	return traceParent[3:35]
}

// JSON is the content type that is meant when none is given.
const JSON = "application/json"
