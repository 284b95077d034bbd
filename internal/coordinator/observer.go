package coordinator

import (
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Observer is notified of what a Coordinator does. Its methods are called from many goroutines and
// must not block.
type Observer interface {
	// Transition reports one accepted event, after its commit.
	Transition(Transition)
	// Ignored reports one event that had no effect.
	Ignored(machine.Ignored)
	// DeadLetter reports one message moved to the dead letters. reason is one of the DeadLetter
	// constants.
	DeadLetter(reason string)
	// Committed reports one commit, with the number of sagas in it and its duration.
	Committed(sagas int, took time.Duration)
	// StartRefused reports one refused start, and the limit that was reached, as one of the Limit
	// constants.
	StartRefused(limit string, at time.Time)
	// Published reports one batch, with the numbers of messages that the bus accepted and refused.
	Published(accepted, refused int)
	// AnnouncementsDropped reports announcements that were given up. The bus will never accept
	// them, or has accepted none for too long.
	AnnouncementsDropped(announcements int)
	// TimersOvertook reports that timers fired although answers had been on the bus for 30 s. An
	// attempt that was answered may have timed out.
	TimersOvertook()
	// ClockSet reports that the wall clock was set, and by how much.
	ClockSet(by time.Duration)
	// TraceDropped reports one request or answer with an invalid W3C trace context. The invalid
	// part was dropped, and the message was processed.
	TraceDropped()
}

// Transition describes one accepted event and its effect.
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
	Overdue     bool // the deadline passed now, after the point of no return
	Reason      string
	Started     time.Time // of the saga
	At          time.Time
	TraceParent string // of the saga, as stored
	Cause       string // traceparent of the answer or request that caused the transition, for the Tracer only; may be ""
	Subject     string // subject of that message, for the Tracer only
	Participant string // the participant that answered
	// Waited is the time between enqueueing a command and its answer; 0 if unknown.
	Waited time.Duration
}

// Classes of dead letters, for metrics.
const (
	DeadLetterMalformed = "malformed" // the bus could not decode the message
	DeadLetterSubject   = "subject"   // the subject is not the subject of an answer
	DeadLetterType      = "type"      // the message type is not the type of an answer
	DeadLetterUnknown   = "unknown"   // the saga does not exist
	DeadLetterStep      = "step"      // the step does not exist, or does not expect this answer
	DeadLetterSender    = "sender"    // the step belongs to another participant
	DeadLetterOversize  = "oversize"  // larger than contract.MaxPayload
	DeadLetterDamaged   = "damaged"   // the saga's record cannot be read
	// DeadLetterContradiction is the completion of a do that was already rejected. The effect of
	// that do will not be undone. See machine.IgnoredContradiction.
	DeadLetterContradiction = "contradiction"
)

// The limits that can refuse a start, as named in metrics.
const (
	LimitOpen    = "open"    // MaxOpen: sagas that have not ended
	LimitBacklog = "backlog" // MaxBacklog: messages that the bus has not accepted
	LimitWaiting = "waiting" // MaxWaiting: inputs in a shard's inbox
	LimitDisk    = "disk"    // no limit in Config: the store's disk is full
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
