package coordinator

import (
	"context"
	"slices"

	"github.com/amends-dev/amends/internal/coordinator/internal/projection"
)

// FillWaiters uses up the wait requests that c allows a caller. undo releases them.
func FillWaiters(c *Coordinator, caller string) (undo func()) {
	var all []*projection.Waiter
	for {
		w, _ := wait(c.projection, "nobody waits for this", caller, func(*Result) {})
		if w == nil {
			break
		}
		all = append(all, w)
	}
	return func() {
		for _, w := range slices.Backward(all) {
			w.Remove()
		}
	}
}

// Load makes c read the stored definitions, as Run does. After that, c serves requests that need
// only definitions.
func Load(ctx context.Context, c *Coordinator) error { return c.definitions.load(ctx) }

// BeforeEvaluating sets a function to be called before every evaluation outside the shards. Call it
// before Run.
func BeforeEvaluating(c *Coordinator, before func()) { c.evaluators.before = before }

// BoundAside bounds the sagas that a coordinator may set aside, and the size of their data. Call it
// before Run.
func BoundAside(c *Coordinator, sagas, bytes int) {
	c.evaluators.most, c.evaluators.full = sagas, bytes
}

// Limits of waiting for answers.
const (
	MaxBehind  = maxBehind
	QuietFor   = quietFor
	ReturnTime = returnTime
)
