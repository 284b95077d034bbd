package saga

import (
	"time"

	"github.com/amends-dev/amends/saga/internal/mapping"
)

// Limits of a definition (I10). Beyond them it is refused by New. Those of a run are in package
// machine.
const (
	// MaxParallel bounds the branches of one parallel.
	MaxParallel = 64
	// MaxDepth bounds how deep sequences and parallels are nested.
	MaxDepth = 16
	// MaxAttempts bounds RetryPolicy.Attempts.
	MaxAttempts = 10_000
	// MaxExpression bounds the length of one CEL expression, in bytes.
	MaxExpression = mapping.MaxExpression
	// MaxExpressions bounds the CEL expressions of one definition together, in bytes:
	// checking them is the most expensive thing that a definition can ask for.
	MaxExpressions = mapping.MaxExpressions
	// MaxTimeout bounds the timeout of an attempt, the wait between attempts and
	// the deadline of a saga.
	MaxTimeout = 366 * 24 * time.Hour
)

// DefaultTimeout is how long an attempt waits for its answer.
const DefaultTimeout = 30 * time.Second
