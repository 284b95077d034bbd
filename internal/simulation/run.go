package simulation

import (
	"context"

	"github.com/amends-dev/amends/saga"
)

// Options say what to run.
type Options struct {
	Seed  uint64
	Sagas int    // at most so many; 0: as many as the seed draws
	Off   []Knob // faults that do not happen
	Bug   Bug    // planted; "": none
}

// Result is what became of a run.
type Result struct {
	Options    Options
	Digest     uint64 // of the history, the same for the same options
	Sagas      int
	Events     int
	Commits    int
	Faults     [knobs]int         // how often each happened
	Sights     [sights]int        // how often each was seen
	Phases     map[saga.Phase]int // of the sagas, at the end; a parked one was abandoned
	Repairs    int                // verbs that were used after the faults
	Violations []Violation
	History    []Record
}

// Run is one run: everything that follows from a seed. It takes milliseconds and
// does not stop in between when ctx ends.
func Run(ctx context.Context, o Options) Result {
	w := newWorld(context.WithoutCancel(ctx), o)
	cut := w.run()
	r := Result{
		Options: o, Digest: digestOf(w.history), Sagas: len(w.callers), Events: w.events,
		Faults: w.faults, Sights: w.sights, Repairs: w.repairs, History: w.history,
	}
	found := check(w, cut)
	r.Violations, r.Phases = found.violations, found.phases
	for i := range w.history {
		if w.history[i].Kind == Committed {
			r.Commits++
		}
	}
	return r
}
