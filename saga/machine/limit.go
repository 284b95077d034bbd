package machine

// Limits of a run (I10).
const (
	// MaxSteps bounds the steps of a definition. Package saga refuses one with more.
	MaxSteps = 256
	// MaxState bounds input and results of one saga together, in bytes. A result
	// that would exceed it counts as a final failure of the step.
	MaxState = 4 << 20
	// MaxHistory bounds the recorded events of one saga. At the limit nothing is
	// retried any more: what would be parks the saga, and an operator can
	// resolve, skip or abandon.
	MaxHistory = 50_000
)
