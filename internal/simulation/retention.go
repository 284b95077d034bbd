package simulation

import (
	"time"

	"github.com/amends-dev/amends/saga/machine"
)

// mostAgain bounds how often a caller starts an id once more.
const mostAgain = 3

// forget lets retention do its work, by the clock of one process. In a run sagas and
// their tombstones are forgotten within seconds, while messages about them are still
// under way.
func (w *world) forget(n *node) {
	if !n.serves || n.frozen {
		return
	}
	ended, dropped := n.clock().Add(-w.retention), n.clock().Add(-w.tombstones)
	before := make([]*machine.Instance, len(w.callers))
	free := make([]bool, len(w.callers))
	for i, c := range w.callers {
		before[i], free[i] = n.volume.look(c.id), n.volume.free(c.id)
		if in := before[i]; in != nil && !in.Open() && in.Ended.Before(ended) { // its history goes with it
			n.volume.audit.folds(c.id, n.volume.audit.account(&Record{Saga: c.id, Run: in.TraceParent}), in)
		}
	}
	if _, _, err := n.disk.Expire(w.ctx, ended, dropped, 0); err != nil {
		n.crash("while forgetting")
		return
	}
	for i, c := range w.callers {
		switch {
		case before[i] != nil && n.volume.look(c.id) == nil:
			n.record(Record{Kind: Forgotten, Who: n.name, Saga: c.id, Run: before[i].TraceParent})
		case !free[i] && n.volume.free(c.id) && c.again < mostAgain:
			c.again++
			c.done, c.ended = false, false
			w.after(w.later.span(0, 10*time.Second), c.start)
		}
	}
}
