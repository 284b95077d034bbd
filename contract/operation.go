package contract

// Operation is an operation that an operator may request for a saga.
type Operation string

// The operations. Each requires a reason and the name of the operator.
const (
	OperationCancel     Operation = "cancel"     // compensate, while that is possible
	OperationRetry      Operation = "retry"      // start a new attempt now, and reset the step's number of attempts
	OperationResolve    Operation = "resolve"    // set the outcome found elsewhere: completed (with result) or rejected
	OperationSkip       Operation = "skip"       // continue without the step or, in compensation, without its undo
	OperationCompensate Operation = "compensate" // compensate from a parked pivot that certainly did not happen
	OperationAbandon    Operation = "abandon"    // end the parked saga in its current state
	OperationPause      Operation = "pause"      // send nothing new and stop the timers; answers are still processed
	OperationResume     Operation = "resume"     // continue a paused saga
)

// LegalOperation is an operation that is legal now, with its step. Step is empty for operations on
// the whole saga.
type LegalOperation struct {
	Operation Operation `json:"operation"`
	Step      StepName  `json:"step,omitempty"`
}

// String returns the operation and its step, such as "cancel" or "retry charge-card".
func (l LegalOperation) String() string {
	if l.Step == "" {
		return string(l.Operation)
	}
	return string(l.Operation) + " " + string(l.Step)
}
