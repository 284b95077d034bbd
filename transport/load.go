package transport

import (
	"context"
	"time"
)

// Load describes the messages on a bus.
type Load struct {
	Streams   map[Stream]StreamLoad // excludes streams that did not answer
	Commands  map[string]uint64     // unacknowledged commands on the bus, by participant
	Consumers []ConsumerLoad        // consumers of commands and events, for participants and the coordinator
	// Dropped is the number of dead letters that this process has lost since the bus was opened. A
	// dead letter is lost if it exceeds its participant's rate or share, or if the stream refuses it.
	Dropped int64
}

// StreamLoad describes the messages in a stream. Each message of a bundle counts.
type StreamLoad struct {
	Messages, Bytes uint64
	Limit           uint64 // maximum of Bytes; 0 means no limit
	Cut             bool   // whether Load.Consumers omits subscriptions of the stream
}

// ConsumerLoad describes the messages of one subscription. If bundles are both pending and in
// flight, all are assumed to have the same size.
type ConsumerLoad struct {
	Stream      Stream
	StreamName  string    // name of the stream at the server, such as SAGA_COMMANDS
	Name        string    // name of the subscription; for commands, the participant
	Pending     uint64    // messages not delivered yet
	InFlight    int       // messages delivered but not acknowledged
	Redelivered int       // messages in flight that had been delivered before
	MaxInFlight int       // limit on stream messages in flight; compare RawInFlight
	Paused      bool      // whether an operator has paused it, so that nothing is delivered
	Asking      int       // pull requests waiting at the server; also 0 if each is answered at once
	Delivered   time.Time // when a message was last delivered; zero means never

	// Positions count stream messages; a bundle is one stream message.
	Last        uint64 // sequence of the newest delivered message, without redeliveries
	AckFloor    uint64 // sequence up to which every message is acknowledged
	RawInFlight int    // stream messages delivered but not acknowledged, limited by MaxInFlight
}

// Scale is implemented by buses that can report their load.
type Scale interface {
	// Load returns the load. It is for operators and metrics, because the query may take a while. It
	// returns an error if the stream of commands or the stream of events did not answer.
	Load(ctx context.Context) (Load, error)
}
