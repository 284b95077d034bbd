package machine

// Limits of a run (I10).
const (
	// MaxSteps bounds the steps of a definition. Package saga refuses definitions with more steps.
	MaxSteps = 256
	// MaxState bounds the total size of a saga's input and results, in bytes. A result that would
	// exceed it counts as a final failure of its step.
	MaxState = 4 << 20
	// MaxHistory bounds the recorded events of one saga. At the limit nothing is retried any longer:
	// a failure counts as that of the last attempt. An operator can resolve or skip a parked step, or
	// abandon the saga, but neither retry nor pause.
	MaxHistory = 50_000
)
