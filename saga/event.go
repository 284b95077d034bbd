package saga

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Direction reports whether a step is done or undone.
type Direction = contract.Direction

// The two directions.
const (
	DirectionDo   = contract.DirectionDo
	DirectionUndo = contract.DirectionUndo
)

// Outcome is a participant's answer.
type Outcome = contract.Outcome

// The outcomes.
const (
	OutcomeCompleted = contract.OutcomeCompleted
	OutcomeRejected  = contract.OutcomeRejected
	OutcomeFailed    = contract.OutcomeFailed
	OutcomeNotSent   = contract.OutcomeNotSent
)

// EventType is what happened.
type EventType = contract.EventType

// The events, and which fields of Event each one uses beside Type and At.
const (
	// Started is the first event of every saga: ID, Payload (the input),
	// ContentType, TraceParent, Clock.
	Started = contract.EventStarted
	// StepAnswered is a participant's answer, or with OutcomeNotSent the bus's in its place:
	// Participant, Step, Direction, Attempt, Outcome, Payload (the result), Reason, Final.
	StepAnswered = contract.EventStepAnswered
	// TimerFired is one timer of the saga that was due at At: Timer, and but for the deadline
	// Step, Direction and Attempt. Of an attempt that timed out, Reason says why its command
	// did not go out; empty: it did, or that is not known. DueTimer makes these events.
	TimerFired = contract.EventTimerFired
	// OperationTaken is a person's decision: Operation, Step, By, Reason, and for resolve
	// Outcome and Payload.
	OperationTaken = contract.EventOperationTaken
	// ClockAdjusted says that the wall clock was set, by Clock in all: what is due in a while is
	// due in the same while. Reason says by how much.
	ClockAdjusted = contract.EventClockAdjusted
)

// Event is a fact that moves a saga. The accepted ones are its history.
type Event struct {
	Type        EventType
	At          time.Time // never before the event that was recorded last, but of ClockAdjusted; Decide lifts it if the clock went back
	ID          ID
	Payload     []byte
	ContentType string
	TraceParent string
	Participant string // who answered, as the bus vouches for it
	Step        StepName
	Direction   Direction
	Attempt     int
	Outcome     Outcome
	Reason      string
	Final       bool // of a failure: trying again cannot help; of not-sent: an earlier attempt to send it may have arrived
	Operation   Operation
	By          string
	Timer       Timer
	// Clock is, of Started and ClockAdjusted, by how much the wall clock by which At was read had
	// been set in all. Times are compared only with those of the same Clock.
	Clock time.Duration
}

// Timer is what a saga waits for the time to come for.
type Timer = contract.Timer

// The timers; see package contract.
const (
	TimerTimeout  = contract.TimerTimeout
	TimerRetry    = contract.TimerRetry
	TimerDeadline = contract.TimerDeadline
)

// Operation is a decision that a person may take about a saga.
type Operation = contract.Operation

// The operations; see package contract.
const (
	OperationCancel     = contract.OperationCancel
	OperationRetry      = contract.OperationRetry
	OperationResolve    = contract.OperationResolve
	OperationSkip       = contract.OperationSkip
	OperationCompensate = contract.OperationCompensate
	OperationAbandon    = contract.OperationAbandon
	OperationPause      = contract.OperationPause
	OperationResume     = contract.OperationResume
)

// Command is an effect: ask a participant for one direction of one step.
type Command struct {
	Index       int // of the step in its definition
	Step        StepName
	Direction   Direction
	Attempt     int
	Participant string
	Action      string
	Payload     []byte
	ContentType string
	Expires     time.Time // when the attempt times out
}

// Announcement is an effect: tell whoever listens that the saga reached a phase.
type Announcement struct {
	Phase   Phase
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
	Step      StepName
	Direction Direction
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
