package contract

// Operation is a decision that a person may take about a saga.
type Operation string

// The operations. Each needs a reason and a name.
const (
	OperationCancel     Operation = "cancel"     // compensate, while that is possible
	OperationRetry      Operation = "retry"      // attempt a waiting or parked step now, with its full number of attempts again
	OperationResolve    Operation = "resolve"    // the step's outcome was determined outside: completed (with a result) or rejected
	OperationSkip       Operation = "skip"       // go on without the step, or leave it as it is when compensating
	OperationCompensate Operation = "compensate" // compensate from a parked pivot, vouching that it did not happen
	OperationAbandon    Operation = "abandon"    // end the parked saga as it is
	OperationPause      Operation = "pause"      // send nothing new and hold the timers; what is under way is still answered
	OperationResume     Operation = "resume"     // go on where the saga was paused
)

// LegalOperation is an operation that may be used now, and on which step; Step is empty for
// operations about the whole saga.
type LegalOperation struct {
	Operation Operation `json:"operation"`
	Step      StepName  `json:"step,omitempty"`
}

// String is the operation and its step: "cancel", "retry charge-card".
func (l LegalOperation) String() string {
	if l.Step == "" {
		return string(l.Operation)
	}
	return string(l.Operation) + " " + string(l.Step)
}
