package simulation

import (
	"context"

	"github.com/amends-dev/amends/contract"
)

// Options say what to run.
type Options struct {
	Seed  uint64
	Sagas int     // at most so many; 0: as many as the seed draws
	Off   []Fault // faults that do not happen
	Bug   Bug     // planted; "": none
}

// Result is what became of a run.
type Result struct {
	Options    Options
	Digest     uint64 // of the history, the same for the same options
	Sagas      int
	Events     int
	Commits    int
	Faults     [faultKinds]int        // how often each happened
	Coverage   [coveragePoints]int    // how often each was seen
	Phases     map[contract.Phase]int // of the sagas, at the end; a parked one was abandoned
	Repairs    int                    // operations that were used after the faults
	Violations []Violation
	History    []Record // of Replay only
}

// Run is one run: everything that follows from a seed. It takes milliseconds and
// does not stop in between when ctx ends. Every record is checked when it is
// made, and forgotten.
func Run(ctx context.Context, o Options) Result { return run(ctx, o, false) }

// Replay is Run, and keeps the history.
func Replay(ctx context.Context, o Options) Result { return run(ctx, o, true) }

func run(ctx context.Context, o Options, keep bool) Result {
	w := newWorld(context.WithoutCancel(ctx), o, keep)
	if why := w.run(); why != "" {
		w.front().audit.violated("I10", "%s", why)
	}
	w.atRest()
	r := Result{
		Options: o, Digest: uint64(w.digest), Sagas: len(w.callers), Events: w.events,
		Faults: w.faults, Coverage: w.coverage, Phases: w.front().audit.phases, Repairs: w.repairs, History: w.history,
	}
	for _, v := range w.volumes {
		r.Commits += v.audit.commits
		r.Violations = append(r.Violations, v.audit.violations...)
	}
	return r
}
