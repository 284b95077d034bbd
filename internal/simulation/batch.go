package simulation

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
)

// sometimes is the number of sagas per expected occurrence: a batch of that many sagas must see
// every kind of fault and every coverage point at least once.
const sometimes = 2000

// Memory tunes the garbage collector for a batch, until restore is called. A run lasts
// milliseconds, so collections would mostly mark the definitions that all runs share. Collecting
// only at two gigabytes halves the CPU time. Without that limit the heap would keep growing on a
// busy machine, where a collection takes long.
func Memory() (restore func()) {
	percent, limit := debug.SetGCPercent(6000), debug.SetMemoryLimit(2<<30)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// maxFailed is the maximum number of failed runs that a batch keeps.
const maxFailed = 10

// Batch runs consecutive seeds.
type Batch struct {
	Seed     uint64 // seed of the first run
	Sagas    int    // minimum number of sagas in all runs together
	Parallel int    // concurrent runs; 0 is one per processor
	Off      []Fault
	Bug      Bug
	Progress func(Totals) // called after each run; may be nil
}

// Totals are the sums over a batch.
type Totals struct {
	Runs     int
	Sagas    int
	Events   int
	Commits  int
	Repairs  int
	Faults   [faultKinds]int
	Coverage [coveragePoints]int
	Phases   map[contract.Phase]int
	Digest   uint64   // sum of the runs' digests
	Failed   []Result // the first failed runs, ordered by seed
	Took     time.Duration
	// NumFailed is the number of failed runs, including those that are not kept.
	NumFailed int
}

// Run runs the batch. All totals except Took depend only on the batch. When ctx ends, Run returns
// the totals so far.
func (b Batch) Run(ctx context.Context) Totals {
	if b.Parallel == 0 {
		b.Parallel = runtime.GOMAXPROCS(0)
	}
	began := time.Now()
	t := Totals{Phases: map[contract.Phase]int{}}
	var mu sync.Mutex
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range b.Parallel {
		wg.Go(func() {
			for seed := range seeds {
				r := Run(ctx, Options{Seed: seed, Off: b.Off, Bug: b.Bug})
				mu.Lock()
				t.add(&r)
				t.Took = time.Since(began)
				if b.Progress != nil {
					b.Progress(t)
				}
				mu.Unlock()
			}
		})
	}
	for seed, given := b.Seed, 0; given < b.Sagas && ctx.Err() == nil; seed++ {
		given += sagasOf(newRNG(seed))
		seeds <- seed
	}
	close(seeds)
	wg.Wait()
	return t
}

func (t *Totals) add(r *Result) {
	t.Runs++
	t.Sagas += r.Sagas
	t.Events += r.Events
	t.Commits += r.Commits
	t.Repairs += r.Repairs
	d := digest(r.Digest)
	d.number(r.Options.Seed)
	t.Digest += uint64(d) // a sum, because runs end in any order
	for k, n := range r.Faults {
		t.Faults[k] += n
	}
	for k, n := range r.Coverage {
		t.Coverage[k] += n
	}
	for phase, n := range r.Phases {
		t.Phases[phase] += n
	}
	if len(r.Violations) == 0 {
		return
	}
	t.NumFailed++
	at := len(t.Failed)
	for at > 0 && t.Failed[at-1].Options.Seed > r.Options.Seed {
		at--
	}
	t.Failed = append(t.Failed[:at:at], append([]Result{*r}, t.Failed[at:]...)...)
	t.Failed = t.Failed[:min(len(t.Failed), maxFailed)]
}

// Missing returns an error that lists the faults and coverage points that occurred too rarely for
// the batch to prove anything. It ignores the faults in off and, if there are any, all coverage
// points.
func (t *Totals) Missing(off []Fault) error {
	least := t.Sagas / sometimes
	var problems []error
	without := map[Fault]bool{}
	for _, k := range off {
		without[k] = true
	}
	for k, n := range t.Faults {
		if n < least && !without[Fault(k)] {
			problems = append(problems, fmt.Errorf("fault %s happened %s in %s, but must happen at least %s", Fault(k), times(n), plural.Of(t.Sagas, "saga", "sagas"), times(least)))
		}
	}
	for s, n := range t.Coverage {
		least := least / CoveragePoint(s).rarity()
		if n < least && len(off) == 0 {
			problems = append(problems, fmt.Errorf("coverage point %s was reached %s in %s, but must be reached at least %s", CoveragePoint(s), times(n), plural.Of(t.Sagas, "saga", "sagas"), times(least)))
		}
	}
	return errors.Join(problems...)
}

// times formats how often something happened.
func times(n int) string { return plural.Of(n, "time", "times") }
