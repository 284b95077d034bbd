package transport

import (
	"context"
	"time"
)

// StandstillKind is what stands still.
type StandstillKind string

// The kinds: a closed set, in the order of docs/OPERATING.md's table.
const (
	// StandsBus: the bus cannot be reached, or a stream is missing or not as it should be.
	StandsBus StandstillKind = "bus"
	// StandsOwner: it is not certain that the prefix is this store's.
	StandsOwner StandstillKind = "owner"
	// StandsStore: the store takes no commits, or does not answer.
	StandsStore StandstillKind = "store"
	// StandsShard: a shard of the coordinator does not finish what it decides or commits.
	StandsShard StandstillKind = "shard"
	// StandsTimers: sagas are due and are not woken.
	StandsTimers StandstillKind = "timers"
	// StandsAnswers: answers lie on the bus, and the coordinator is not given them.
	StandsAnswers StandstillKind = "answers"
	// StandsCommands: the bus does not take a participant's commands.
	StandsCommands StandstillKind = "commands"
	// StandsParticipant: a participant has commands and does not take or answer them.
	StandsParticipant StandstillKind = "participant"
	// StandsLifecycle: the bus does not take announcements.
	StandsLifecycle StandstillKind = "lifecycle"
	// StandsRetention: sagas that ended long ago are not removed, because the clock was set.
	StandsRetention StandstillKind = "retention"
	// StandsSagas: sagas cannot be moved: damaged records, missing definitions.
	StandsSagas StandstillKind = "sagas"
)

// StandstillKinds are all kinds.
var StandstillKinds = []StandstillKind{
	StandsBus, StandsOwner, StandsStore, StandsShard, StandsTimers, StandsAnswers, StandsCommands, StandsParticipant, StandsLifecycle, StandsRetention, StandsSagas,
}

// Standstill is something that does not move although it should.
type Standstill struct {
	Kind   StandstillKind `json:"kind"`
	Object string         `json:"object,omitempty"` // which participant, stream or shard
	Since  time.Time      `json:"since"`
	Reason string         `json:"reason"`          // what happens, or does not
	Fix    string         `json:"fix"`             // what to do about it
	Stops  bool           `json:"stops,omitempty"` // no saga moves because of it: the coordinator is not ready
}

// String is the standstill in a sentence: what, why, what to do.
func (s *Standstill) String() string {
	text := string(s.Kind)
	if s.Object != "" {
		text += " " + s.Object
	}
	return text + ": " + s.Reason + "; " + s.Fix
}

// Checker is implemented by buses that can say what is wrong with them.
type Checker interface {
	// Check says what is wrong now, or nil. It changes nothing. What is wrong with one
	// stream is a *StreamError; several errors are joined.
	Check(ctx context.Context) error
}

// StreamError is what is wrong with one stream of a bus.
type StreamError struct {
	Stream Stream
	Err    error
}

func (e *StreamError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StreamError) Unwrap() error { return e.Err }
