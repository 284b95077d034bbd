package saga

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// Limits of a definition and of a run (I10). Beyond them a definition is
// refused by New; what happens to a run at its limits is said at each of them.
const (
	// MaxSteps bounds the steps of a definition.
	MaxSteps = 256
	// MaxParallel bounds the branches of one parallel.
	MaxParallel = 64
	// MaxDepth bounds how deep sequences and parallels are nested.
	MaxDepth = 16
	// MaxAttempts bounds RetryPolicy.Attempts.
	MaxAttempts = 10_000
	// MaxExpression bounds the length of one CEL expression, in bytes.
	MaxExpression = 16 << 10
	// MaxPayload bounds the data of one message: a saga's input, a request, a
	// result; in bytes. A start with more is refused; a result with more counts
	// as a final failure of the step, whose outcome is then unknown.
	MaxPayload = contract.MaxPayload
	// MaxState bounds input and results of one saga together, in bytes. A result
	// that would exceed it counts as a final failure of the step.
	MaxState = 4 << 20
	// MaxHistory bounds the recorded events of one saga. At the limit nothing is
	// retried any more: what would be parks the saga, and an operator can
	// resolve, skip or abandon.
	MaxHistory = 50_000
	// MaxReason bounds a reason given by a participant or operator, in bytes;
	// longer ones are cut.
	MaxReason = contract.MaxReason
	// MaxTimeout bounds the timeout of an attempt, the wait between attempts and
	// the deadline of a saga.
	MaxTimeout = 366 * 24 * time.Hour
)

// DefaultTimeout is how long an attempt waits for its answer.
const DefaultTimeout = 30 * time.Second
