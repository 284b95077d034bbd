package saga

import (
	"time"

	"github.com/amends-dev/amends/saga/internal/mapping"
)

// Limits of a definition (I10). New refuses a definition that exceeds a limit. Package machine has
// the limits of a run.
const (
	// MaxParallel bounds the branches of one parallel.
	MaxParallel = 64
	// MaxDepth bounds the nesting of sequences and parallels.
	MaxDepth = 16
	// MaxAttempts bounds RetryPolicy.Attempts.
	MaxAttempts = 10_000
	// MaxExpression bounds the length of one CEL expression, in bytes.
	MaxExpression = mapping.MaxExpression
	// MaxExpressions bounds the total length of the CEL expressions of one definition, in bytes.
	// Checking the expressions is the most expensive part of checking a definition.
	MaxExpressions = mapping.MaxExpressions
	// MaxTimeout bounds the timeout of an attempt, the wait between attempts and the deadline of a
	// saga.
	MaxTimeout = 366 * 24 * time.Hour
)

// DefaultTimeout is how long an attempt waits for its answer.
const DefaultTimeout = 30 * time.Second
