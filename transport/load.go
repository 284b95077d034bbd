package transport

import (
	"context"
	"time"
)

// Load reports what a bus holds.
type Load struct {
	Streams   map[Stream]StreamLoad // without streams that did not answer
	Commands  map[string]uint64     // unacknowledged commands on the bus, by participant
	Consumers []ConsumerLoad        // of commands and events: the participants' and the coordinator's
	// Dropped counts the dead letters that this process could not keep since the bus was opened,
	// because they exceeded their participant's rate or share, or the stream refused them.
	Dropped int64
}

// StreamLoad reports what a stream holds. Each message of a bundle counts.
type StreamLoad struct {
	Messages, Bytes uint64
	Limit           uint64 // maximum of Bytes; 0: none
	Cut             bool   // the stream has more subscriptions than Load.Consumers lists
}

// ConsumerLoad reports what waits for one subscription. If bundles are both waiting and in flight,
// all are assumed to be of equal size.
type ConsumerLoad struct {
	Stream      Stream
	StreamName  string    // of the stream at the server, such as SAGA_COMMANDS
	Name        string    // of the subscription; for commands, the participant's
	Pending     uint64    // messages not delivered yet
	InFlight    int       // messages delivered but not acknowledged
	Redelivered int       // messages in flight that had been delivered before
	MaxInFlight int       // limit on stream messages in flight; see RawInFlight
	Paused      bool      // an operator has paused it; nothing is delivered
	Asking      int       // pull requests waiting at the server; also 0 while each is answered at once
	Delivered   time.Time // when the last message was delivered; zero: never

	// Positions in stream messages, of which a bundle is one.
	Last        uint64 // sequence of the newest message delivered, redeliveries aside
	AckFloor    uint64 // sequence up to which all messages are acknowledged
	RawInFlight int    // stream messages delivered but not acknowledged, limited by MaxInFlight
}

// Scale is implemented by buses that can report what they hold.
type Scale interface {
	// Load asks the bus, which may take a while; it is for operators and metrics. An error: the
	// stream of commands or of events did not answer.
	Load(ctx context.Context) (Load, error)
}
