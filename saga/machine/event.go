package machine

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Event is a fact that moves a saga. The accepted ones are its history. Beside Type and At
// each type has fields of its own:
//
//	started           ID, Payload (the input), ContentType, TraceParent, ClockOffset. It is the first.
//	step_answered     Participant, Step, Direction, Attempt, Outcome, Payload (the result),
//	                  ContentType, Reason, Final. With the outcome not_sent it is the bus's, in the
//	                  participant's place.
//	timer_fired       Timer, and but for the deadline Step, Direction, Attempt: it was due at At. Of
//	                  an attempt that timed out, Reason says why its command did not go out; empty:
//	                  it did, or that is not known. DueTimer makes these events.
//	operation_taken   Operation, Step, By, Reason, and for resolve Outcome and Payload.
//	clock_adjusted    ClockOffset, Reason (by how much): the wall clock was set, and what is due in a
//	                  while is due in the same while.
type Event struct {
	Type        contract.EventType
	At          time.Time // never before the event that was recorded last, but of clock_adjusted; Decide lifts it if the clock went back
	ID          contract.SagaID
	Payload     []byte
	ContentType string
	TraceParent string
	Participant string // who answered, as the bus vouches for it
	Step        contract.StepName
	Direction   contract.Direction
	Attempt     int
	Outcome     contract.Outcome
	Reason      string
	Final       bool // of a failure: trying again cannot help; of not-sent: an earlier attempt to send it may have arrived
	Operation   contract.Operation
	By          string
	Timer       contract.Timer
	// ClockOffset is, of started and clock_adjusted, by how much the wall clock by which At was read had
	// been set in all. Times are compared only with those of the same ClockOffset.
	ClockOffset time.Duration
}

// Command is an effect: ask a participant for one direction of one step.
type Command struct {
	Index       int // of the step in its definition
	Step        contract.StepName
	Direction   contract.Direction
	Attempt     int
	Participant string
	Action      string
	Payload     []byte
	ContentType string
	Expires     time.Time // when the attempt times out
}

// Announcement is an effect: tell whoever listens that the saga reached a phase.
type Announcement struct {
	Phase   contract.Phase
	Ended   bool // the saga is over: completed, compensated or abandoned
	Overdue bool // the deadline passed after the point of no return; Phase did not change
	Reason  string
}

// Effects is what must follow a decision, as data. Commands and announcements
// leave only after the new instance is durable (I1).
type Effects struct {
	Commands      []Command
	Announcements []Announcement
	// Discarded are the revisions whose commands are no longer pending.
	Discarded []CommandRef
	// Ignored is why the event changed nothing; empty when it did. An ignored
	// event is not recorded.
	Ignored Ignored
}

// CommandRef identifies a pending command by its step, its direction and the revision whose
// commit enqueued it.
type CommandRef struct {
	Index     int // of the step in its definition
	Step      contract.StepName
	Direction contract.Direction
	Revision  uint64
}

// Ignored is why an event changed nothing. It is a metric label: a closed set.
type Ignored string

// The reasons.
const (
	IgnoredEnded     Ignored = "saga ended"
	IgnoredDuplicate Ignored = "already answered"
	IgnoredStale     Ignored = "earlier attempt"
	IgnoredEarly     Ignored = "attempt not sent yet"
	IgnoredNothing   Ignored = "nothing was due"
	IgnoredDirection Ignored = "step is not waiting in this direction"
	IgnoredStep      Ignored = "no such step"
	IgnoredSender    Ignored = "step belongs to another participant"
	// IgnoredContradiction is a do that was recorded as rejected, by its participant or
	// by an operator's word, or as never sent, and is now reported as completed: there is an effect that
	// no undo takes back. It comes before IgnoredEnded, because a saga that was rejected
	// has often ended by then. The other contradictions leave nothing behind and are
	// IgnoredDuplicate: a rejected after a completed (the do counts, and is undone if
	// the saga goes back), a completed after the outcome was unknown or the undo was
	// done (the undo takes it back, or has left a tombstone), and a completed for a step
	// that an operator skipped (leaving it as it is was the decision).
	IgnoredContradiction Ignored = "completed after rejection"
)
