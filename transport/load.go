package transport

import (
	"context"
	"time"
)

// Load is what lies on a bus.
type Load struct {
	Streams   map[Stream]StreamLoad // without those that could not be asked
	Commands  map[string]uint64     // that lie on the bus, of each participant that has any; those it was given and has not answered are among them
	Consumers []ConsumerLoad        // of the commands and of the events: participants, and the coordinator
	// Dropped counts the dead letters that this end of the bus has not kept since it was
	// opened: beyond their participant's rate or share, or the stream did not take them.
	Dropped int64
}

// StreamLoad is what a stream holds. What travels in a bundle counts one by one.
type StreamLoad struct {
	Messages, Bytes uint64
	Limit           uint64 // of Bytes; 0: none
	Cut             bool   // it has more subscriptions than Load.Consumers lists
}

// ConsumerLoad is what waits for one subscription. Where bundles wait and others are
// in flight, each is taken to be as large as the other.
type ConsumerLoad struct {
	Stream      Stream
	Name        string    // of the subscription: of commands, the participant's
	Pending     uint64    // messages that it has not been given
	InFlight    int       // messages that it was given and has not answered
	Redelivered int       // of those in flight, how many were given before
	MaxInFlight int       // how many messages of the stream it is given at most without an answer; see RawInFlight
	Paused      bool      // somebody has paused it: it is given nothing
	Asking      int       // requests for messages that wait at the server; 0 as well while whatever it asks for is there
	Delivered   time.Time // when it was last given one; zero: never

	// How far it is, in messages as they lie on the stream: a bundle is one.
	Last        uint64 // sequence of the newest that it was given; a redelivery does not change it
	AckFloor    uint64 // sequence up to which all are acknowledged
	RawInFlight int    // that it was given and has not answered; MaxInFlight bounds them
}

// Scale is implemented by buses that can tell what lies on them.
type Scale interface {
	// Load asks the bus. It is for people and metrics, and may take a while. An error: the
	// commands or the answers could not be looked at.
	Load(ctx context.Context) (Load, error)
}
