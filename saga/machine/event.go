package machine

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Event is a fact that changes a saga. The recorded events are the saga's history. In addition to
// Type and At, each type has its own fields:
//
//	started           ID, Payload (the input), ContentType, TraceParent, ClockOffset. Always the first event.
//	step_answered     Participant, Step, Direction, Attempt, Outcome, Payload (the result),
//	                  ContentType, Reason, Final. If the outcome is not_sent, the answer is from the
//	                  bus and not from the participant.
//	timer_fired       Timer and, except for the deadline, Step, Direction, Attempt. It was due at At.
//	                  For a timeout, Reason says why the command was not sent. Reason is empty if the
//	                  command was sent or may have been sent. DueTimer creates these events.
//	operation_taken   Operation, Step, By, Reason, and for resolve Outcome and Payload.
//	clock_adjusted    ClockOffset, Reason (by how much). The wall clock was set; the remaining time of
//	                  timers stays the same.
type Event struct {
	Type contract.EventType
	// At is when the event happened. If that is before the last recorded event, because the clock was
	// set back, Decide uses the time of that event instead, for clock_adjusted moved by the adjustment.
	At          time.Time
	ID          contract.SagaID
	Payload     []byte
	ContentType string
	TraceParent string
	Participant string // who answered, as authenticated by the bus
	Step        contract.StepName
	Direction   contract.Direction
	Attempt     int
	Outcome     contract.Outcome
	Reason      string
	Final       bool // of failed: a retry cannot help; of not_sent: an earlier command may have been sent
	Operation   contract.Operation
	By          string
	Timer       contract.Timer
	// ClockOffset is set for started and clock_adjusted. It is the sum of all changes of the wall
	// clock from which At was read. Only times with the same ClockOffset can be compared.
	ClockOffset time.Duration
}

// Command is an effect: send a command to a participant, for one direction of one step.
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

// Announcement is an effect: announce that the saga reached a phase.
type Announcement struct {
	Phase   contract.Phase
	Ended   bool // the saga has ended: completed, compensated or abandoned
	Overdue bool // the deadline passed after the point of no return; Phase did not change
	Reason  string
}

// Effects describes the effects of a decision as data. Commands and announcements may be sent only
// after the new instance is durable (I1).
type Effects struct {
	Commands      []Command
	Announcements []Announcement
	// Discarded lists the commands that are no longer pending.
	Discarded []CommandRef
	// Ignored is the reason why the event changed nothing, or empty if it was applied. An ignored
	// event is not recorded.
	Ignored Ignored
}

// CommandRef identifies a pending command by its step, its direction and the revision whose commit
// enqueued it.
type CommandRef struct {
	Index     int // of the step in its definition
	Step      contract.StepName
	Direction contract.Direction
	Revision  uint64
}

// Ignored is the reason why an event changed nothing. It is a metric label, so the set is closed.
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
	// IgnoredContradiction means that a do is reported as completed although it was recorded as
	// rejected (by its participant or by an operator) or as never sent. No undo will revert the
	// do's effect. IgnoredContradiction takes precedence over IgnoredEnded, because a saga that was
	// rejected has often ended by then.
	//
	// Other contradictions are harmless and are IgnoredDuplicate. If a rejection follows a
	// completion, the do counts, and is undone in compensation. If a completion follows an unknown
	// outcome or a completed undo, the undo reverts the do or has left a tombstone. If a completion
	// follows a skip, the operator has decided to leave the step as it is.
	IgnoredContradiction Ignored = "completed after rejection"
)
