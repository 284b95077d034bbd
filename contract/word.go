package contract

import "strconv"

// Phase is the phase of a saga.
type Phase string

// The phases. Completed and compensated are final. Parked waits for an operator, and is final once
// the operator has abandoned the saga.
const (
	Running      Phase = "running"
	Compensating Phase = "compensating"
	Completed    Phase = "completed"
	Compensated  Phase = "compensated"
	Parked       Phase = "parked"
)

// AtRest reports whether a saga in the phase has ended or is parked.
func (p Phase) AtRest() bool { return p == Parked || p == Completed || p == Compensated }

// Direction is the direction of a command: it does a step or undoes it.
type Direction string

// The two directions.
const (
	DirectionDo   Direction = "do"
	DirectionUndo Direction = "undo"
)

// Check returns a *NameError unless the direction is do or undo.
func (d Direction) Check() error {
	if d != DirectionDo && d != DirectionUndo {
		return &NameError{"direction", shortened(string(d)), "is neither do nor undo"}
	}
	return nil
}

// Kind is the kind of a step: one that can be undone, the point of no return, or one after it,
// which only goes forward; see package compensation.
type Kind string

// The kinds.
const (
	KindCompensable Kind = "compensable"
	KindPivot       Kind = "pivot"
	KindRetriable   Kind = "retriable"
)

// StepStatus combines the states of a step's do and undo.
type StepStatus string

// The statuses.
const (
	StepPending  StepStatus = "pending" // not requested yet
	StepDoing    StepStatus = "doing"
	StepDone     StepStatus = "done"
	StepRejected StepStatus = "rejected" // had no effect
	StepUnknown  StepStatus = "unknown"  // requested but never answered: may have happened
	StepUndoing  StepStatus = "undoing"
	StepUndone   StepStatus = "undone"
	StepSkipped  StepStatus = "skipped" // an operator decided to continue without its do or its undo
	StepParked   StepStatus = "parked"  // its do or undo waits for an operator
)

// Outcome is a participant's answer to a command.
type Outcome string

// The outcomes.
const (
	// OutcomeCompleted: done, with a result.
	OutcomeCompleted Outcome = "completed"
	// OutcomeRejected: rejected for a business reason. Final; it had no effect.
	OutcomeRejected Outcome = "rejected"
	// OutcomeFailed: something broke. May be retried, unless it is marked final.
	OutcomeFailed Outcome = "failed"
	// OutcomeNotSent: the bus will never take the command and has taken none of this step's before,
	// so the step did not happen. Recorded by the coordinator; participants never send it.
	OutcomeNotSent Outcome = "not-sent"
)

// DefinitionRef names a definition. Version 0 means the newest one registered.
type DefinitionRef struct {
	Name    string `json:"name"`
	Version int    `json:"version,omitempty"`
}

// Ref returns r, so that a reference can be used as a definition.
func (r DefinitionRef) Ref() DefinitionRef { return r }

// String returns name/version, or only the name for the newest version.
func (r DefinitionRef) String() string {
	if r.Version == 0 {
		return r.Name
	}
	return r.Name + "/" + strconv.Itoa(r.Version)
}
