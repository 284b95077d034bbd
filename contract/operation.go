package contract

// Operation is a decision that an operator may take about a saga.
type Operation string

// The operations. Each requires a reason and a name.
const (
	OperationCancel     Operation = "cancel"     // compensate, while that is possible
	OperationRetry      Operation = "retry"      // start a new attempt now, and reset the step's number of attempts
	OperationResolve    Operation = "resolve"    // the step's outcome was determined outside: completed (with a result) or rejected
	OperationSkip       Operation = "skip"       // go on without the step, or leave it as it is when compensating
	OperationCompensate Operation = "compensate" // compensate from a parked pivot that is known not to have happened
	OperationAbandon    Operation = "abandon"    // end the parked saga as it is
	OperationPause      Operation = "pause"      // send nothing new and stop the timers; answers are still taken
	OperationResume     Operation = "resume"     // continue a paused saga
)

// LegalOperation is an operation that is legal now, and its step; Step is empty for operations on
// the whole saga.
type LegalOperation struct {
	Operation Operation `json:"operation"`
	Step      StepName  `json:"step,omitempty"`
}

// String returns the operation and its step: "cancel", "retry charge-card".
func (l LegalOperation) String() string {
	if l.Step == "" {
		return string(l.Operation)
	}
	return string(l.Operation) + " " + string(l.Step)
}
