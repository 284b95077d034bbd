package transport

import (
	"context"
	"errors"
	"time"
)

// Bus carries envelopes on the four streams. Implementations: membus (deterministic, in memory,
// with fault injection), natsbus (NATS JetStream), watermillbus (any Watermill pub/sub). All
// methods may be called from any goroutine.
type Bus interface {
	// Publish sends a batch and waits until each envelope is accepted or refused. Nil: all were
	// accepted. Otherwise one error (or nil) per envelope, in order. Envelopes of one batch to, or
	// from, the same participant stay in order. Accepted does not mean durable. The caller may
	// reuse the batch afterwards, but must not modify the data that its envelopes refer to.
	Publish(ctx context.Context, batch []Envelope) []error

	// Subscribe opens a source of deliveries. The bus stores a subscription's position under its
	// name; processes that use the same name share its messages.
	Subscribe(ctx context.Context, s Subscription) (Source, error)

	// Resets signals that the bus may have lost accepted messages, because a stream was recreated
	// or went back to an earlier state. Receivers publish their pending messages again.
	Resets() <-chan struct{}
}

// Subscription configures what to receive.
type Subscription struct {
	Stream      Stream
	Name        string        // durable name, unique within the stream
	Subjects    []string      // filters within the stream; empty: everything in it
	AckWait     time.Duration // time until an unacknowledged delivery is repeated; 0: 30 s
	MaxInFlight int           // limit on unacknowledged deliveries; 0: 4096
	Prefetch    int           // deliveries buffered ahead of Receive, whose AckWait already runs; 0: the bus's default
	Bundle      int           // deliveries per message, if the bus supports that; all of a message are redelivered together; 0: one
	// Claim, if not nil, makes this the only subscription to its stream, for the owner of the
	// prefix: others are removed. It is called before that, and before a lost subscription is
	// recreated; an error means that another store is the owner.
	Claim     func(context.Context) error
	Ephemeral bool // begin with new messages, and discard the position when the source is closed
}

// Stream is one of the four streams.
type Stream string

// The four streams.
const (
	Commands    Stream = "commands"     // work queue: one participant takes each command
	Events      Stream = "events"       // work queue: one coordinator takes each answer
	Lifecycle   Stream = "lifecycle"    // kept for a while, for any number of subscribers
	DeadLetters Stream = "dead-letters" // kept until replayed or expired
)

// Source delivers messages in batches.
type Source interface {
	// Receive waits for at least one delivery and returns all that are available, at most max.
	// Messages that cannot be decoded are dead-lettered. It returns ctx.Err() when ctx ends, and
	// ErrClosed after Close.
	Receive(ctx context.Context, max int) ([]Delivery, error)
	// Close stops the deliveries. Unacknowledged ones are redelivered, here or to another process.
	Close() error
}

// Tracker is implemented by sources that can report when everything on the bus at a given moment
// has been received.
type Tracker interface {
	// Newest returns the stream sequence of the newest unacknowledged message of the subscription;
	// 0: there is none. An error: the bus does not answer.
	Newest(ctx context.Context) (uint64, error)
	// TakenIn reports whether every message up to the sequence that Newest returned has since been
	// acknowledged, by any process of the subscription, or handed back through this source.
	TakenIn(ctx context.Context, newest uint64) (bool, error)
}

// Delivery is a received message with the ways to acknowledge it. Acknowledgements are asynchronous
// and best effort: if one is lost, the message is delivered again.
type Delivery interface {
	Envelope() *Envelope
	Ack()                    // done; do not deliver again
	Nak(delay time.Duration) // deliver again after delay
	InProgress()             // still at work: restart AckWait
	Redeliveries() int       // previous deliveries; 0: this is the first; -1: the bus does not count
	// DeadLetter moves the message to the dead-letter stream, perhaps after the call has returned,
	// and acknowledges it even if that fails: a bus that cannot keep it logs and counts that,
	// rather than redeliver it for ever. An error: nothing was done, and the message is
	// unacknowledged.
	DeadLetter(ctx context.Context, reason string) error
}

// Requester sends requests to a coordinator.
type Requester interface {
	// Request sends a request and returns the reply. ErrNoResponders: nobody serves the subject
	// now.
	Request(ctx context.Context, request *Envelope) (*Envelope, error)
}

// Responder serves requests.
type Responder interface {
	// Respond calls handle for every request on subject until stop is called. handle must not
	// block; it may call reply later, from any goroutine, once. Processes with the same queue share
	// the requests.
	Respond(subject, queue string, handle func(request *Envelope, reply func(*Envelope))) (stop func(), err error)
}

// Provisioner is implemented by buses on which the coordinator creates the participants'
// subscriptions. Participants then need no permission to create one; with it they could have their
// commands delivered to subjects on which only the coordinator may publish.
type Provisioner interface {
	// Provide creates a participant's subscription to its commands, or updates it.
	Provide(ctx context.Context, participant string, q SubscribeQuery) (SubscribeReply, error)
	// Expect sets the participants: those without a subscription get one soon, and again if it is
	// lost. It replaces the previous list, and does not wait.
	Expect(participants []string)
}

// Errors of buses.
var (
	// ErrClosed: the source or the bus is closed.
	ErrClosed = errors.New("transport: closed")
	// ErrNoResponders: nobody serves the subject of a request now.
	ErrNoResponders = errors.New("transport: no coordinator answers")
	// ErrRefused: the bus has refused the envelope and certainly does not have it. A retry may
	// succeed. After other errors of Publish, the bus may have the envelope.
	ErrRefused = errors.New("transport: refused by the bus")
	// ErrRefusedForGood: the bus will never take the envelope, however often it is sent.
	// errors.Is(err, ErrRefused) holds as well.
	ErrRefusedForGood error = &refusal{"transport: refused by the bus for good", ErrRefused}
	// ErrTooLarge: the envelope exceeds the bus's limit. errors.Is(err, ErrRefusedForGood) holds as
	// well.
	ErrTooLarge error = &refusal{"transport: message too large for the bus", ErrRefusedForGood}
	// ErrFull: the stream is full. errors.Is(err, ErrRefused) holds as well.
	ErrFull error = &refusal{"transport: the stream is full", ErrRefused}
	// ErrFenced: the bus holds the claim of another store, or none. errors.Is(err, ErrRefused)
	// holds as well.
	ErrFenced error = &refusal{"transport: the claim of this store does not hold on the bus", ErrRefused}
	// ErrNotPermitted: the publisher lacks permission for the subject, which an operator may grant.
	// The error concerns the subject, so the bus may still have this envelope from an earlier
	// attempt.
	ErrNotPermitted = errors.New("transport: not permitted by the bus")
)

// refusal is an error that is a special case of another one.
type refusal struct {
	text string
	kind error
}

func (e *refusal) Error() string { return e.text }

// Unwrap returns the more general error.
func (e *refusal) Unwrap() error { return e.kind }

// MinLife is the minimum time for which a bus that expires commands keeps the first attempt's, so
// that a participant that was briefly away still receives it.
const MinLife = time.Minute
