package contract

import "strconv"

// Phase is the phase of a saga.
type Phase string

// The phases. Completed and compensated are final. A parked saga waits for an operator; parked is
// final once the operator has abandoned the saga.
const (
	PhaseRunning      Phase = "running"
	PhaseCompensating Phase = "compensating"
	PhaseCompleted    Phase = "completed"
	PhaseCompensated  Phase = "compensated"
	PhaseParked       Phase = "parked"
)

// AtRest reports whether a saga in this phase has ended or is parked.
func (p Phase) AtRest() bool { return p == PhaseParked || p == PhaseCompleted || p == PhaseCompensated }

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
		return &NameError{"direction", Cut(string(d), MaxNameLength), "is neither do nor undo"}
	}
	return nil
}

// Kind is the kind of a step: a step that can be undone, the point of no return, or a step after
// that point, which can only go forward. See package compensation.
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
	StepRejected StepStatus = "rejected" // rejected, without any effect
	StepUnknown  StepStatus = "unknown"  // requested but not answered; may have happened
	StepUndoing  StepStatus = "undoing"
	StepUndone   StepStatus = "undone"
	StepSkipped  StepStatus = "skipped" // an operator decided to continue without its do or undo
	StepParked   StepStatus = "parked"  // its do or undo waits for an operator
)

// Outcome is the outcome of a command, usually the participant's answer.
type Outcome string

// The outcomes.
const (
	// OutcomeCompleted means that the participant completed the action, with a result.
	OutcomeCompleted Outcome = "completed"
	// OutcomeRejected means that the participant rejected the command for a business reason. It is
	// final, and the command had no effect.
	OutcomeRejected Outcome = "rejected"
	// OutcomeFailed means a technical error. The command may be retried, unless the failure is
	// marked final.
	OutcomeFailed Outcome = "failed"
	// OutcomeNotSent means that the bus will never accept the command, and accepted no earlier
	// command of this step, so the step did not happen. The coordinator records it; participants
	// never send it.
	OutcomeNotSent Outcome = "not_sent"
)

// DefinitionRef identifies a definition by name and version. Version 0 means the newest version.
type DefinitionRef struct {
	Name    string `json:"name"`
	Version int    `json:"version,omitempty"`
}

// Ref returns r, so that a reference can be used in place of a definition.
func (r DefinitionRef) Ref() DefinitionRef { return r }

// String returns name/version, or only the name if the version is 0.
func (r DefinitionRef) String() string {
	if r.Version == 0 {
		return r.Name
	}
	return r.Name + "/" + strconv.Itoa(r.Version)
}
