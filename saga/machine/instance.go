package machine

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Start is what a run was started with. It never changes.
type Start struct {
	ID          contract.SagaID
	Definition  contract.DefinitionRef
	Fingerprint string // of the definition
	Input       []byte
	ContentType string // of the input; "" means application/json
	TraceParent string // W3C trace context of the start, passed on to every command
	Started     time.Time
}

// Instance is the state of one run of a definition: everything that Decide needs. It is a value;
// Decide returns a new one and does not change its argument.
type Instance struct {
	Start

	Revision uint64 // number of events so far; 0 if the saga does not exist
	Phase    contract.Phase
	Updated  time.Time // time of the last event
	Ended    time.Time // zero while the saga is open; set when completed, compensated or abandoned
	Deadline time.Time // zero if there is none
	Overdue  bool      // the deadline passed after the point of no return
	Cause    *Cause    // why the saga compensates; nil while it goes forward
	// PendingCause is why the saga compensates if the pivot in progress does not complete.
	PendingCause *Cause
	Paused       *Pause // set while an operator has paused the saga; nil if the saga has ended
	Steps        []StepState
	StateBytes   int           // total size of input and results
	ClockOffset  time.Duration // sum of all changes of the wall clock that the saga's times refer to (see Event)
}

// Cause says why a saga compensates.
type Cause struct {
	Kind   CauseKind
	Step   contract.StepName // for rejected, exhausted, mapping_failed
	Reason string
	By     string // the operator, for an operation
	At     time.Time
}

// Pause describes who paused a saga, when and why. The saga's timers stop at At, until the saga is
// resumed.
type Pause struct {
	At     time.Time
	By     string
	Reason string
}

// CauseKind is the kind of a Cause.
type CauseKind string

// The reasons to compensate. They all lead to the same compensation.
const (
	CauseRejected      CauseKind = "rejected"       // a participant, or with By an operator, rejected the step
	CauseExhausted     CauseKind = "exhausted"      // all attempts failed or got no answer, so the outcome is unknown; or no command was sent, so the step did not happen
	CauseMappingFailed CauseKind = "mapping_failed" // the step's mapping failed on this saga's data
	CauseDeadline      CauseKind = "deadline"
	CauseCancelled     CauseKind = "cancelled"
	CauseOperator      CauseKind = "operator" // an operator took the operation compensate
)

// Birth distinguishes the saga from earlier and later ones with the same id. It is derived from the
// time of the recorded start, so that every replay produces the same value.
func (s *Start) Birth() contract.Birth { return contract.BirthOf(s.Started) }

// Open reports whether the saga has not ended.
func (in *Instance) Open() bool { return in.Ended.IsZero() }

// AtRest reports whether the saga has ended or is parked.
func (in *Instance) AtRest() bool { return in.Phase.AtRest() }

// Wake returns the time of the saga's next timer: the earliest time at which an attempt times out,
// the next attempt starts, or the deadline passes. It returns the zero time if there is no timer or
// the saga is paused.
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
