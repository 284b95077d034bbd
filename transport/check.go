package transport

import (
	"context"
	"time"
)

// StandstillKind is the kind of object that makes no progress.
type StandstillKind string

// The kinds are a closed set, in the order of the table in docs/OPERATING.md.
const (
	// StandsBus means that the bus is unreachable, or that a stream is missing or misconfigured.
	StandsBus StandstillKind = "bus"
	// StandsOwner means that this store's claim on the prefix is not confirmed.
	StandsOwner StandstillKind = "owner"
	// StandsStore means that the store accepts no commits, or does not respond.
	StandsStore StandstillKind = "store"
	// StandsShard means that a shard of the coordinator does not finish deciding or committing.
	StandsShard StandstillKind = "shard"
	// StandsTimers means that timers are due but do not fire.
	StandsTimers StandstillKind = "timers"
	// StandsAnswers means that answers on the bus are not delivered to the coordinator.
	StandsAnswers StandstillKind = "answers"
	// StandsCommands means that the bus refuses a participant's commands.
	StandsCommands StandstillKind = "commands"
	// StandsParticipant means that a participant does not fetch or answer its commands.
	StandsParticipant StandstillKind = "participant"
	// StandsLifecycle means that the bus refuses announcements.
	StandsLifecycle StandstillKind = "lifecycle"
	// StandsRetention means that sagas that ended long ago are not removed, because the clock was
	// set.
	StandsRetention StandstillKind = "retention"
	// StandsSagas means that sagas cannot proceed because of damaged records or missing
	// definitions.
	StandsSagas StandstillKind = "sagas"
)

// StandstillKinds lists all kinds.
var StandstillKinds = []StandstillKind{
	StandsBus, StandsOwner, StandsStore, StandsShard, StandsTimers, StandsAnswers, StandsCommands, StandsParticipant, StandsLifecycle, StandsRetention, StandsSagas,
}

// Standstill describes an object that makes no progress although it should.
type Standstill struct {
	Kind   StandstillKind `json:"kind"`
	Object string         `json:"object,omitempty"` // the participant, stream or shard
	Since  time.Time      `json:"since"`
	Reason string         `json:"reason"`          // the symptom
	Fix    string         `json:"fix"`             // how to fix it
	Stops  bool           `json:"stops,omitempty"` // whether no saga progresses and the coordinator is not ready
}

// String returns one sentence with the object, the reason and the fix.
func (s *Standstill) String() string {
	text := string(s.Kind)
	if s.Object != "" {
		text += " " + s.Object
	}
	return text + ": " + s.Reason + "; " + s.Fix
}

// Checker is implemented by buses that can diagnose themselves.
type Checker interface {
	// Check returns the current problems, or nil. It changes nothing. An error of a single stream
	// is a *StreamError. Several errors are joined.
	Check(ctx context.Context) error
}

// StreamError is an error of one stream of a bus.
type StreamError struct {
	Stream Stream
	Err    error
}

func (e *StreamError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StreamError) Unwrap() error { return e.Err }
