package contract

import "strconv"

// Phase is where a saga stands.
type Phase string

// The phases, and no others. Completed and compensated are final. Parked waits
// for an operator, and is final once the operator has abandoned the saga.
const (
	Running      Phase = "running"
	Compensating Phase = "compensating"
	Completed    Phase = "completed"
	Compensated  Phase = "compensated"
	Parked       Phase = "parked"
)

// AtRest reports whether a saga in the phase has ended or is parked: whoever waits for it is told.
func (p Phase) AtRest() bool { return p == Parked || p == Completed || p == Compensated }

// Direction reports whether a command does a step or takes it back.
type Direction string

// The two directions.
const (
	DirectionDo   Direction = "do"
	DirectionUndo Direction = "undo"
)

// Check returns a *NameError unless the direction is one of the two.
func (d Direction) Check() error {
	if d != DirectionDo && d != DirectionUndo {
		return &NameError{"direction", shortened(string(d)), "is neither do nor undo"}
	}
	return nil
}

// Kind is what a step is to its saga: one that can be undone, the point of no return, or one
// behind it, which only goes forward; see package compensation.
type Kind string

// The kinds.
const (
	KindCompensable Kind = "compensable"
	KindPivot       Kind = "pivot"
	KindRetriable   Kind = "retriable"
)

// StepStatus is what is known of a step, both of its directions in a word.
type StepStatus string

// The statuses.
const (
	StepPending  StepStatus = "pending" // not asked for yet
	StepDoing    StepStatus = "doing"
	StepDone     StepStatus = "done"
	StepRejected StepStatus = "rejected" // left no trace
	StepUnknown  StepStatus = "unknown"  // asked for, not answered: may have happened
	StepUndoing  StepStatus = "undoing"
	StepUndone   StepStatus = "undone"
	StepSkipped  StepStatus = "skipped" // an operator decided to go on without it, in either direction
	StepParked   StepStatus = "parked"  // waits for an operator, in either direction
)

// Outcome is a participant's answer to a command.
type Outcome string

// The outcomes.
const (
	// OutcomeCompleted: done, with a result.
	OutcomeCompleted Outcome = "completed"
	// OutcomeRejected: the business said no. Final, and it left no trace.
	OutcomeRejected Outcome = "rejected"
	// OutcomeFailed: something broke. May be tried again, unless it is marked final.
	OutcomeFailed Outcome = "failed"
	// OutcomeNotSent: the bus will never take the command, and has taken none of this
	// step: it did not happen. A coordinator notes it; no participant answers so.
	OutcomeNotSent Outcome = "not-sent"
)

// DefinitionRef names a definition. Version 0 means the newest one registered.
type DefinitionRef struct {
	Name    string `json:"name"`
	Version int    `json:"version,omitempty"`
}

// Ref returns r, so that a reference can stand wherever a definition can.
func (r DefinitionRef) Ref() DefinitionRef { return r }

// String is name/version, or the name alone for the newest version.
func (r DefinitionRef) String() string {
	if r.Version == 0 {
		return r.Name
	}
	return r.Name + "/" + strconv.Itoa(r.Version)
}
