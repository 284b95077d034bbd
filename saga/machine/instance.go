package machine

import (
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// Instance is one run of a definition: everything Decide needs to go on. It is
// a value; Decide returns a new one and leaves its argument alone.
type Instance struct {
	ID          contract.SagaID
	Definition  contract.DefinitionRef
	Fingerprint string // of the definition; the instance keeps it for life
	Revision    uint64 // number of events folded into this state; 0: does not exist yet
	Phase       contract.Phase
	Input       []byte
	ContentType string // of the input; "" means application/json
	TraceParent string // W3C trace context of the start, passed on to every command
	Started     time.Time
	Updated     time.Time // time of the last event
	Ended       time.Time // zero while the saga is open; set when completed, compensated or abandoned
	Deadline    time.Time // zero: none
	Overdue     bool      // the deadline passed after the point of no return
	Cause       *Cause    // why the saga goes back; nil while it goes forward
	// PendingCause is why the saga goes back if the pivot, which is under way, does not complete.
	PendingCause *Cause
	Paused       *Pause // an operator holds the saga; nil: it goes on. Never of one that has ended
	Steps        []StepState
	StateBytes   int           // input and results together
	ClockOffset  time.Duration // by how much the wall clock that its times go by had been set in all; see Event
}

// Cause says why a saga goes back.
type Cause struct {
	Kind   CauseKind
	Step   contract.StepName // for rejected, exhausted, mapping_failed
	Reason string
	By     string // who, for a person's decision
	At     time.Time
}

// Pause says since when an operator holds a saga, who and why. The saga's timers
// stand still at At until it is resumed.
type Pause struct {
	At     time.Time
	By     string
	Reason string
}

// CauseKind is why a saga goes back, in a word.
type CauseKind string

// The reasons to go back. They all lead to the same plan.
const (
	CauseRejected      CauseKind = "rejected"       // a participant said no
	CauseExhausted     CauseKind = "exhausted"      // no answer, or only failures, in all attempts: outcome unknown. Or not sent: it did not happen
	CauseMappingFailed CauseKind = "mapping_failed" // the step's mapping failed on this saga's data
	CauseDeadline      CauseKind = "deadline"
	CauseCancelled     CauseKind = "cancelled"
	CauseOperator      CauseKind = "operator" // compensate
)

// State is the view that package compensation has of the i-th step.
func (in *Instance) State(i int) compensation.State {
	switch in.Steps[i].Status() {
	case contract.StepDoing:
		return compensation.Doing
	case contract.StepDone:
		return compensation.Done
	case contract.StepRejected:
		return compensation.Rejected
	case contract.StepUnknown:
		return compensation.Unknown
	case contract.StepUndoing:
		return compensation.Undoing
	case contract.StepUndone:
		return compensation.Undone
	case contract.StepSkipped:
		return compensation.Skipped
	case contract.StepPending:
	}
	return compensation.Pending
}

// Birth tells the saga from earlier and later ones with its id: it is the time of the
// recorded start, so that every replay gives the same.
func (in *Instance) Birth() contract.Birth { return contract.BirthOf(in.Started) }

// Open reports whether the saga has not ended.
func (in *Instance) Open() bool { return in.Ended.IsZero() }

// AtRest reports whether the saga has ended or is parked: whoever waits for it is told.
func (in *Instance) AtRest() bool { return in.Phase.AtRest() }

// Wake is when the saga wants to be woken next: the earliest time at which an
// attempt times out, goes out again, or the deadline passes. Zero: never, or not
// before it is resumed.
func (in *Instance) Wake() time.Time {
	if !in.Open() || in.Paused != nil {
		return time.Time{}
	}
	var wake time.Time
	if !in.Deadline.IsZero() && !in.Overdue && in.Cause == nil && in.PendingCause == nil {
		wake = in.Deadline
	}
	for i := range in.Steps {
		if due := in.Steps[i].Current().Due(); !due.IsZero() && (wake.IsZero() || due.Before(wake)) {
			wake = due
		}
	}
	return wake
}
