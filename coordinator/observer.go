package coordinator

import (
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Observer is told what a Coordinator does. Its methods are called from many
// goroutines and must not block.
type Observer interface {
	// Transition is one accepted event, after its commit.
	Transition(Transition)
	// Ignored is one event that changed nothing.
	Ignored(machine.Ignored)
	// DeadLetter is one message that went to the dead letters; reason is a class,
	// one of the DeadLetter constants.
	DeadLetter(reason string)
	// Committed is one commit: how many sagas it moved and how long it took.
	Committed(sagas int, took time.Duration)
	// StartRefused is one start that was too much, and the limit that it met, one of
	// the Limit constants.
	StartRefused(limit string, at time.Time)
	// Published is one batch: how many messages the bus took and how many it refused.
	Published(accepted, refused int)
	// AnnouncementsDropped is how many announcements were given up, because the bus never
	// takes them or has taken none for too long.
	AnnouncementsDropped(announcements int)
	// TimersOvertook is that timers ran although answers had lain on the bus for 30 s and
	// were not taken in: an attempt may have timed out that was answered.
	TimersOvertook()
	// ClockSet is that the wall clock was set by so much.
	ClockSet(by time.Duration)
	// TraceDropped is one request or answer whose trace context was not, or not all of
	// it, W3C's: that was dropped, and the message went on.
	TraceDropped()
}

// Transition is one accepted event and what it did.
type Transition struct {
	Saga        contract.SagaID
	Definition  contract.DefinitionRef
	Revision    uint64
	Event       contract.EventType
	Timer       contract.Timer
	Step        contract.StepName
	Direction   contract.Direction
	Attempt     int
	Outcome     contract.Outcome
	Operation   contract.Operation
	Before      contract.Phase // "" for a start
	After       contract.Phase
	Ended       bool
	Reason      string
	Started     time.Time // of the saga
	At          time.Time
	TraceParent string // of the saga, as it is stored
	Cause       string // traceparent of the answer or request that this is about; for the Tracer only, "" if there is none
	Subject     string // of that message; for the Tracer only
	Participant string // who answered
	// Waited is, for an answer, how long it took since its command was enqueued; 0 when
	// that is not known any more.
	Waited time.Duration
}

// Classes of dead letters, for metrics.
const (
	DeadLetterMalformed = "malformed" // the bus could not decode it
	DeadLetterSubject   = "subject"   // the subject of an answer is not one
	DeadLetterType      = "type"      // not an answer
	DeadLetterUnknown   = "unknown"   // no such saga
	DeadLetterStep      = "step"      // no such step, or it does not wait for this answer
	DeadLetterSender    = "sender"    // the step belongs to another participant
	DeadLetterOversize  = "oversize"  // larger than contract.MaxPayload
	DeadLetterDamaged   = "damaged"   // the saga's record cannot be read
	// DeadLetterContradiction is a do that was rejected and is now reported as completed:
	// an effect that nobody takes back. See machine.IgnoredContradiction.
	DeadLetterContradiction = "contradiction"
)

// The limits of a Config that refuse starts, for metrics.
const (
	LimitOpen    = "open"    // MaxOpen: sagas that have not ended
	LimitBacklog = "backlog" // MaxBacklog: messages that the bus has not taken
	LimitWaiting = "waiting" // MaxWaiting: inputs at a shard
)

type nobody struct{}

func (nobody) Transition(Transition)          {}
func (nobody) StartRefused(string, time.Time) {}
func (nobody) Ignored(machine.Ignored)        {}
func (nobody) DeadLetter(string)              {}
func (nobody) Committed(int, time.Duration)   {}
func (nobody) Published(int, int)             {}
func (nobody) AnnouncementsDropped(int)       {}
func (nobody) TimersOvertook()                {}
func (nobody) ClockSet(time.Duration)         {}
func (nobody) TraceDropped()                  {}
