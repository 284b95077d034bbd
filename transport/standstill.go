package transport

import (
	"context"
	"time"
)

// StandstillKind says what is not progressing.
type StandstillKind string

// The kinds: a closed set, in the order of docs/OPERATING.md's table.
const (
	// StandsBus: the bus cannot be reached, or a stream is missing or misconfigured.
	StandsBus StandstillKind = "bus"
	// StandsOwner: this store's claim on the prefix is not confirmed.
	StandsOwner StandstillKind = "owner"
	// StandsStore: the store accepts no commits, or does not respond.
	StandsStore StandstillKind = "store"
	// StandsShard: a shard of the coordinator is stuck deciding or committing.
	StandsShard StandstillKind = "shard"
	// StandsTimers: timers are due but do not fire.
	StandsTimers StandstillKind = "timers"
	// StandsAnswers: answers on the bus are not delivered to the coordinator.
	StandsAnswers StandstillKind = "answers"
	// StandsCommands: the bus refuses a participant's commands.
	StandsCommands StandstillKind = "commands"
	// StandsParticipant: a participant does not fetch or answer its commands.
	StandsParticipant StandstillKind = "participant"
	// StandsLifecycle: the bus refuses announcements.
	StandsLifecycle StandstillKind = "lifecycle"
	// StandsRetention: sagas that ended long ago are not removed, because the clock was set.
	StandsRetention StandstillKind = "retention"
	// StandsSagas: sagas cannot proceed because of damaged records or missing definitions.
	StandsSagas StandstillKind = "sagas"
)

// StandstillKinds are all kinds.
var StandstillKinds = []StandstillKind{
	StandsBus, StandsOwner, StandsStore, StandsShard, StandsTimers, StandsAnswers, StandsCommands, StandsParticipant, StandsLifecycle, StandsRetention, StandsSagas,
}

// Standstill is something that is not progressing although it should.
type Standstill struct {
	Kind   StandstillKind `json:"kind"`
	Object string         `json:"object,omitempty"` // the participant, stream or shard
	Since  time.Time      `json:"since"`
	Reason string         `json:"reason"`          // what happens, or does not
	Fix    string         `json:"fix"`             // what to do about it
	Stops  bool           `json:"stops,omitempty"` // no saga moves because of it: the coordinator is not ready
}

// String returns the standstill as a sentence: what, why, what to do.
func (s *Standstill) String() string {
	text := string(s.Kind)
	if s.Object != "" {
		text += " " + s.Object
	}
	return text + ": " + s.Reason + "; " + s.Fix
}

// Checker is implemented by buses that can diagnose themselves.
type Checker interface {
	// Check returns what is wrong now, or nil. It changes nothing. An error about one stream is a
	// *StreamError; several errors are joined.
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
