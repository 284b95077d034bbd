package transport

import (
	"context"
	"errors"
	"time"

	"github.com/amends-dev/amends/api"
)

// Bus carries envelopes on the four streams. Implementations are membus (deterministic, in memory,
// with fault injection), natsbus (NATS JetStream) and watermillbus (any Watermill pub/sub). All
// methods are safe for concurrent use.
type Bus interface {
	// Publish sends a batch and waits until each envelope is accepted or refused. It returns nil if
	// all were accepted. Otherwise it returns one element for each envelope, in order: the error, or
	// nil if the envelope was accepted. Envelopes of a batch to or from the same participant stay in
	// order. An accepted envelope is not necessarily durable. The caller may reuse the batch
	// afterwards, but must not modify the data of its envelopes.
	Publish(ctx context.Context, batch []Envelope) []error

	// Subscribe opens a source of deliveries. The bus stores the subscription's position under the
	// subscription's name. Processes that use the same name share the messages.
	Subscribe(ctx context.Context, s Subscription) (Source, error)

	// Resets signals that the bus may have lost accepted messages, because a stream was recreated
	// or has returned to an earlier state. Receivers of the signal publish their pending messages
	// again.
	Resets() <-chan struct{}
}

// Subscription describes what to receive.
type Subscription struct {
	Stream      Stream
	Name        string        // durable name; unique within the stream
	Subjects    []string      // filters within the stream; empty means all subjects
	AckWait     time.Duration // time after which an unacknowledged message is redelivered; 0 means 30 s
	MaxInFlight int           // limit on unacknowledged deliveries; 0 means 4096
	Prefetch    int           // deliveries buffered ahead of Receive, while their AckWait runs; 0 means the bus's default
	Bundle      int           // maximum deliveries per bus message, redelivered together; 0 means one; not on every bus
	// Claim, if not nil, makes this the only subscription to its stream, for the owner of the prefix:
	// the bus removes all other subscriptions. It calls Claim before it removes them, and before it
	// recreates a lost subscription. Claim returns an error if another store owns the prefix.
	Claim     func(context.Context) error
	Ephemeral bool // start with new messages, and delete the position when the source is closed
}

// Stream is one of the four streams.
type Stream string

// The four streams.
const (
	StreamCommands    Stream = "commands"     // work queue; each command goes to one participant
	StreamEvents      Stream = "events"       // work queue; each answer goes to one coordinator
	StreamLifecycle   Stream = "lifecycle"    // kept for a limited time, for any number of subscribers
	StreamDeadLetters Stream = "dead-letters" // kept until they are replayed or expire
)

// Source delivers messages in batches.
type Source interface {
	// Receive waits for at least one delivery, and returns all that are available, up to max. It
	// dead-letters messages that cannot be decoded. It returns ctx.Err() when ctx ends, and
	// ErrClosed after Close.
	Receive(ctx context.Context, max int) ([]Delivery, error)
	// Close stops the deliveries. Unacknowledged messages are redelivered to this or another
	// process.
	Close() error
}

// Tracker is implemented by sources that can report when all messages that are on the bus at a
// given time have been received.
type Tracker interface {
	// Newest returns the stream sequence of the subscription's newest unacknowledged message, or 0
	// if there is none. It returns an error if the bus does not answer.
	Newest(ctx context.Context) (uint64, error)
	// TakenIn reports whether every message up to the sequence newest has been acknowledged by any
	// process of the subscription, or was delivered by this source's Receive. newest is a result of
	// Newest.
	TakenIn(ctx context.Context, newest uint64) (bool, error)
}

// Delivery is a received message with methods to acknowledge it. Acknowledgements are asynchronous
// and best effort. If an acknowledgement is lost, the message is delivered again.
type Delivery interface {
	Envelope() *Envelope
	Ack()                    // acknowledge; do not deliver again
	Nak(delay time.Duration) // deliver again after delay
	InProgress()             // restart AckWait, because processing continues
	Redeliveries() int       // number of previous deliveries; -1 if the bus does not count them
	// DeadLetter moves the message to the dead-letter stream, possibly after the call has returned.
	// The message is acknowledged even if the move fails: the bus then logs and counts the loss,
	// instead of redelivering the message for ever. If DeadLetter returns an error, it has done
	// nothing and the message is not acknowledged.
	DeadLetter(ctx context.Context, reason string) error
}

// Requester sends requests to a coordinator.
type Requester interface {
	// Request sends a request and returns the reply. It returns ErrNoResponders if currently nobody
	// serves the subject.
	Request(ctx context.Context, request *Envelope) (*Envelope, error)
}

// Prefixer is implemented by buses that know the prefix of their subjects. client.New and
// Participant.Run then use this prefix, unless they are given one.
type Prefixer interface {
	// Prefix returns the first token, or tokens, of every subject.
	Prefix() string
}

// Responder serves requests.
type Responder interface {
	// Respond calls handle for every request on the subject until stop is called. handle must not
	// block. It may call reply once, also later and from another goroutine. Processes with the same
	// queue share the requests.
	Respond(subject, queue string, handle func(request *Envelope, reply func(*Envelope))) (stop func(), err error)
}

// Provisioner is implemented by buses on which the coordinator creates the participants'
// subscriptions. Participants then need no permission to create subscriptions, which they could
// abuse: a subscription can deliver commands to subjects on which only the coordinator may publish.
type Provisioner interface {
	// Provide creates or updates a participant's subscription to its commands.
	Provide(ctx context.Context, participant string, q api.SubscribeRequest) (api.SubscribeResponse, error)
	// Expect sets the list of participants, which replaces the previous list, and returns at once.
	// A participant without a subscription soon gets one, and gets a new one after a loss.
	Expect(participants []string)
}

// Errors of buses.
var (
	// ErrClosed is returned if the source or the bus is closed.
	ErrClosed = errors.New("transport: closed")
	// ErrNoResponders is returned if currently nobody serves the subject of a request.
	ErrNoResponders = errors.New("transport: no coordinator answers")
	// ErrRefused is returned if the bus has refused the envelope and does not have it. A retry may
	// succeed. After any other error of Publish, the bus may have the envelope.
	ErrRefused = errors.New("transport: refused by the bus")
	// ErrRefusedForGood is returned if the bus would refuse the envelope at every retry. It wraps
	// ErrRefused.
	ErrRefusedForGood error = &refusal{"transport: refused by the bus for good", ErrRefused}
	// ErrTooLarge is returned if the envelope exceeds the bus's limit. It wraps ErrRefusedForGood.
	ErrTooLarge error = &refusal{"transport: message too large for the bus", ErrRefusedForGood}
	// ErrFull is returned if the stream is full. It wraps ErrRefused.
	ErrFull error = &refusal{"transport: the stream is full", ErrRefused}
	// ErrFenced is returned if the claim on the bus is missing or belongs to another store. It
	// wraps ErrRefused.
	ErrFenced error = &refusal{"transport: the bus does not accept the claim of this store", ErrRefused}
	// ErrNotPermitted is returned if the publisher lacks the permission for the subject, which an
	// operator may grant later. The error concerns only the subject: the bus may have the envelope
	// from an earlier attempt.
	ErrNotPermitted = errors.New("transport: not permitted by the bus")
)

// refusal is an error that wraps a more general error.
type refusal struct {
	text string
	kind error
}

func (e *refusal) Error() string { return e.text }

// Unwrap returns the more general error.
func (e *refusal) Unwrap() error { return e.kind }

// MinLife is the minimum time for which a bus with expiring commands keeps the command of a first
// attempt. A participant that is briefly unavailable then still receives the command.
const MinLife = time.Minute
