package simulation

import (
	"errors"
	"time"

	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
)

// mostAgain bounds how often a caller starts an id once more.
const mostAgain = 3

// forget lets retention do its work, by the clock of one process. In a run sagas and
// their tombstones are forgotten within seconds, while messages about them are still
// under way.
func (w *world) forget(n *node) {
	if !n.up {
		return
	}
	ended, dropped := n.clock().Add(-w.retention), n.clock().Add(-w.tombstones)
	before := make([]*saga.Instance, len(w.callers))
	free := make([]bool, len(w.callers))
	for i, c := range w.callers {
		before[i], free[i] = c.look(), c.free()
		if in := before[i]; in != nil && !in.Open() && in.Ended.Before(ended) { // its history goes with it
			w.audit.folds(c.id, w.audit.account(&Record{Saga: c.id, Run: in.TraceParent}), in)
		}
	}
	if _, _, err := n.disk.Expire(w.ctx, ended, dropped, 0); err != nil {
		n.crash("while forgetting")
		return
	}
	for i, c := range w.callers {
		switch {
		case before[i] != nil && c.look() == nil:
			w.record(Record{Kind: Forgotten, Who: n.name, Saga: c.id, Run: before[i].TraceParent})
		case !free[i] && c.free() && c.again < mostAgain:
			c.again++
			c.done, c.ended = false, false
			w.after(w.later.span(0, 10*time.Second), c.start)
		}
	}
}

// free reports whether the id can be started: no saga has it, and no tombstone.
func (c *caller) free() bool {
	_, err := c.w.disk.Load(c.w.ctx, c.id)
	return errors.Is(err, store.ErrNotFound)
}
