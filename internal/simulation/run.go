package simulation

import (
	"context"

	"github.com/amends-dev/amends/contract"
)

// Options configure a run.
type Options struct {
	Seed  uint64
	Sagas int     // maximum number of sagas; 0 means the number drawn from the seed
	Off   []Fault // faults that are turned off
	Bug   Bug     // planted bug; "" for none
}

// Result is the result of a run.
type Result struct {
	Options    Options
	Digest     uint64 // digest of the history, the same for the same options
	Sagas      int
	Events     int
	Commits    int
	Faults     [faultKinds]int        // number of occurrences of each
	Coverage   [coveragePoints]int    // number of times each was reached
	Phases     map[contract.Phase]int // number of sagas by final phase; a parked saga was abandoned
	Repairs    int                    // operations applied after the faults
	Violations []Violation
	History    []Record // set by Replay only
}

// Run executes one run, which depends only on the options. It takes milliseconds and does not check
// ctx during the run. It checks every record as it is made and does not keep it.
func Run(ctx context.Context, o Options) Result { return run(ctx, o, false) }

// Replay is Run, but keeps the history.
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
