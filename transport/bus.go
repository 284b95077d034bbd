package transport

import (
	"context"
	"errors"
	"time"
)

// Bus carries envelopes on the four streams. Implementations: membus
// (deterministic, in memory, faulty on demand), natsbus (NATS JetStream),
// watermillbus (any Watermill pub/sub). All methods may be called from any
// goroutine.
type Bus interface {
	// Publish hands a batch to the bus and waits until each envelope is accepted
	// or refused. Nil: all accepted. Otherwise one error (or nil) per envelope, in
	// order. Envelopes of one batch to, or from, the same participant are sent in
	// order; accepted does not mean durable. The batch is the caller's again afterwards;
	// what its envelopes refer to, their data too, must not change any more.
	Publish(ctx context.Context, batch []Envelope) []error

	// Subscribe opens a source of deliveries. The bus remembers by name how far
	// the subscription has come; several processes that use the same name share
	// the work.
	Subscribe(ctx context.Context, s Subscription) (Source, error)

	// Resets signals, with at least one value since the last receive, that the
	// bus may have forgotten messages it had accepted: a stream had to be created
	// again, or went backwards. Whoever has messages pending sends them again.
	Resets() <-chan struct{}
}

// Subscription says what to receive.
type Subscription struct {
	Stream      Stream
	Name        string        // durable name, unique within the stream
	Subjects    []string      // filters within the stream; empty: everything in it
	AckWait     time.Duration // how long a delivery may stay unanswered before it comes again; 0: 30 s
	MaxInFlight int           // bound on unanswered deliveries; 0: 4096
	Prefetch    int           // deliveries that the bus holds ready ahead of Receive, where AckWait already runs; 0: the bus's default
	Bundle      int           // how many commands or answers may come in one message of a bus that can do that; each is a delivery of its own all the same, but what one message brought comes again together; 0: one
	// Claim, if it is not nil, makes it the only subscription to its stream, which whoever owns
	// the prefix has: those of others are removed. It is asked before, and when the
	// subscription was lost and is to be recreated; an error says that the owner is another one.
	Claim     func(context.Context) error
	Ephemeral bool // forget the position when the source is closed; begin with what arrives from now on
}

// Stream is one of the four streams.
type Stream string

// The streams.
const (
	Commands    Stream = "commands"     // work queue: one participant takes each command
	Events      Stream = "events"       // work queue: one coordinator takes each answer
	Lifecycle   Stream = "lifecycle"    // kept for a while, for any number of listeners
	DeadLetters Stream = "dead-letters" // kept until replayed or expired
)

// Source delivers messages in batches.
type Source interface {
	// Receive waits until at least one delivery is there and returns all that
	// are, at most max, without waiting for more. What could not be decoded is
	// on its way to the dead-letter stream. It returns ctx.Err() when ctx ends
	// and ErrClosed after Close.
	Receive(ctx context.Context, max int) ([]Delivery, error)
	// Close stops the deliveries. What was delivered and not answered comes again,
	// here or elsewhere.
	Close() error
}

// Tracker is implemented by sources of which can be told when all that lay on the bus at one
// moment was taken in.
type Tracker interface {
	// Newest is the place of the newest message on the stream that the subscription has not
	// acknowledged; 0: there is none. An error: the bus cannot be asked now.
	Newest(ctx context.Context) (uint64, error)
	// TakenIn reports whether each message up to the place that Newest returned last has been
	// acknowledged, by whoever shares the subscription, or given back through this source since.
	TakenIn(ctx context.Context, newest uint64) (bool, error)
}

// Delivery is one received message and the ways to answer the bus. The answers
// are asynchronous and best effort: a lost one means another delivery.
type Delivery interface {
	Envelope() *Envelope
	Ack()                    // done, do not deliver again
	Nak(delay time.Duration) // deliver again after delay
	InProgress()             // still at work: restart AckWait
	Redeliveries() int       // how often it was delivered before; 0: the first time; -1: the bus does not count
	// DeadLetter hands it over to be moved to the dead-letter stream, perhaps after the
	// call has returned, and answers the bus for it, whatever comes of that: a bus that
	// cannot keep it says so in its log and its counts, and does not deliver it again
	// and again. An error: it was not handed over and is unanswered.
	DeadLetter(ctx context.Context, reason string) error
}

// Requester asks a coordinator and waits for its reply.
type Requester interface {
	// Request sends to a subject and returns the reply. ErrNoResponders: nobody
	// serves the subject now.
	Request(ctx context.Context, request *Envelope) (*Envelope, error)
}

// Responder serves requests.
type Responder interface {
	// Respond calls handle for every request on subject until stop is called.
	// handle must not block; reply may be called later, from any goroutine, once.
	// Processes that give the same queue share the requests.
	Respond(subject, queue string, handle func(request *Envelope, reply func(*Envelope))) (stop func(), err error)
}

// Provisioner is implemented by buses on which the coordinator makes the subscriptions of
// participants. These need no right to make one then, and whoever may make one could have
// their commands delivered to where only the coordinator may write.
type Provisioner interface {
	// Provide makes a participant's subscription to its commands, or changes it to what is
	// asked for.
	Provide(ctx context.Context, participant string, q SubscribeQuery) (SubscribeReply, error)
	// Expect says who the participants are: whoever has no subscription gets one in a
	// moment, again when it is lost. It replaces what was said before, and does not wait.
	Expect(participants []string)
}

// Errors of buses.
var (
	// ErrClosed: the source or the bus is closed.
	ErrClosed = errors.New("transport: closed")
	// ErrNoResponders: nobody serves the subject of a request now.
	ErrNoResponders = errors.New("transport: no coordinator answers")
	// ErrRefused: the bus has refused the envelope, and it is certain that it does not
	// have it. It may take it later. Other errors of Publish leave open whether it has it.
	ErrRefused = errors.New("transport: refused by the bus")
	// ErrRefusedForGood: the bus will never take the envelope, however often it is sent.
	// errors.Is(err, ErrRefused) holds too.
	ErrRefusedForGood error = &refusal{"transport: refused by the bus for good", ErrRefused}
	// ErrTooLarge: the envelope exceeds what the bus carries. errors.Is(err,
	// ErrRefusedForGood) holds too.
	ErrTooLarge error = &refusal{"transport: message too large for the bus", ErrRefusedForGood}
	// ErrFull: the stream holds as much as it may. errors.Is(err, ErrRefused) holds too.
	ErrFull error = &refusal{"transport: the stream is full", ErrRefused}
	// ErrFenced: the bus holds the claim of another store, or none. errors.Is(err, ErrRefused)
	// holds too.
	ErrFenced error = &refusal{"transport: the claim of this store does not hold on the bus", ErrRefused}
	// ErrNotPermitted: the bus does not let the publisher write on the subject; an
	// operator may change that. It says so of a subject and not of an envelope, so that it
	// is not certain that it does not have this one.
	ErrNotPermitted = errors.New("transport: not permitted by the bus")
)

// refusal is an error that is a kind of another one.
type refusal struct {
	text string
	kind error
}

func (e *refusal) Error() string { return e.text }

// Unwrap is the kind.
func (e *refusal) Unwrap() error { return e.kind }

// MinLife is how long a bus that lets commands expire keeps the first attempt's at least,
// so that a participant that was away for a moment finds them.
const MinLife = time.Minute
