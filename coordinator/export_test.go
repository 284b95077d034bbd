package coordinator

import (
	"context"
	"slices"

	"github.com/amends-dev/amends/coordinator/internal/projection"
)

// FillWaiters makes c hold as many wait requests of a caller as it may, until undo is called.
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

// Load has c read the definitions that are stored, as Run does: it serves requests then that need
// nothing else.
func Load(ctx context.Context, c *Coordinator) error { return c.definitions.load(ctx) }

// BeforeEvaluating has every evaluation beside the shards wait for before. Call it before Run.
func BeforeEvaluating(c *Coordinator, before func()) { c.evaluators.before = before }

// BoundAside lets a coordinator set aside so many sagas, with so many bytes of data, at most.
// Call it before Run.
func BoundAside(c *Coordinator, sagas, bytes int) {
	c.evaluators.most, c.evaluators.full = sagas, bytes
}

// Bounds of the wait for answers.
const (
	MaxBehind = maxBehind
	QuietFor  = quietFor
)
