package simulation

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var (
	seed  = flag.Uint64("simulation.seed", 1, "seed of the first run")
	sagas = flag.Int("simulation.sagas", 10_000, "sagas to run")

	update = flag.Bool("simulation.update", false, "write the digests of TestDigests instead of comparing them")
)

// TestSagas checks that thousands of random histories keep I1 to I5 and I7 to I11, and reach every
// kind of fault and every coverage point. The laboratory runs a hundred thousand sagas, and CI a
// million from a new seed.
func TestSagas(t *testing.T) { faultless(t, *sagas) }

// faultless runs a batch that must keep every invariant and reach every fault.
func faultless(t *testing.T, sagas int) {
	t.Helper()
	defer Memory()()
	batch := Batch{Seed: *seed, Sagas: sagas}
	totals := batch.Run(t.Context())
	t.Logf("%d sagas in %d runs, %d commits, %d events, %.0f sagas/s",
		totals.Sagas, totals.Runs, totals.Commits, totals.Events, float64(totals.Sagas)/totals.Took.Seconds())
	if err := totals.Missing(nil); err != nil {
		t.Error(err)
	}
	if totals.NumFailed == 0 {
		return
	}
	small := Shrink(t.Context(), totals.Failed[0])
	t.Errorf("%d runs failed; the first is shown by\n\t%s\n%s", totals.NumFailed, small.Options.Command(), joined(small.Violations))
}

func joined(violations []Violation) string {
	var b strings.Builder
	for _, v := range violations {
		b.WriteString(v.String() + "\n")
	}
	return b.String()
}

// TestDigests checks that the same seed gives the same history (I6) on every machine, independent
// of clocks, map order and goroutines. Changes that do not change behaviour must not change it.
func TestDigests(t *testing.T) {
	const file, runs = "testdata/digests.txt", 100
	var lines strings.Builder
	for seed := range uint64(runs) {
		fmt.Fprintf(&lines, "%d %016x\n", seed+1, Run(t.Context(), Options{Seed: seed + 1}).Digest)
	}
	if *update {
		if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if lines.String() == string(want) {
		return
	}
	repeats(t, runs)
	had := strings.Split(string(want), "\n")
	for i, line := range strings.Split(lines.String(), "\n") {
		if i >= len(had) || line != had[i] {
			t.Fatalf("seed %d has another history than it had (want %q, got %q). If that is meant:\n\tgo test ./internal/simulation -run TestDigests -simulation.update", i+1, slices.Concat(had, make([]string, runs))[i], line)
		}
	}
}

// repeats runs the same batch twice and compares the digests.
func repeats(t *testing.T, runs int) {
	t.Helper()
	batch := Batch{Seed: 1, Sagas: runs * 25 / 2} // a run has 1 to 24 sagas
	first, second := batch.Run(t.Context()), batch.Run(t.Context())
	if first.Digest == second.Digest {
		return
	}
	for seed := range uint64(first.Runs) {
		a, b := Replay(t.Context(), Options{Seed: seed + 1}), Replay(t.Context(), Options{Seed: seed + 1})
		if a.Digest != b.Digest {
			t.Fatalf("seed %d gave two histories, which part at\n%s", seed+1, parting(a.History, b.History))
		}
	}
	t.Error("two batches gave two digests, and no single run does")
}

// TestReplayKeepsWhatWas checks that a replay keeps the history unchanged, although a run reuses
// memory.
func TestReplayKeepsWhatWas(t *testing.T) {
	for seed := range uint64(50) {
		r, again := Replay(t.Context(), Options{Seed: seed}), newDigest()
		for i := range r.History {
			again.record(&r.History[i])
		}
		if uint64(again) != r.Digest {
			t.Fatalf("seed %d: the kept history is not the one that was checked", seed)
		}
	}
}

func parting(a, b []Record) string {
	for i := range min(len(a), len(b)) {
		if x, y := a[i].String(), b[i].String(); x != y {
			return x + "\n" + y
		}
	}
	return "the end of the shorter one"
}

// TestShrink checks that shrinking keeps the violation and never enlarges the run.
func TestShrink(t *testing.T) {
	var big Result
	for seed := uint64(1); len(big.Violations) == 0; seed++ {
		big = Run(t.Context(), Options{Seed: seed, Bug: BugUndoesAtOnce})
	}
	small := Shrink(t.Context(), big)
	if small.Sagas > big.Sagas || len(small.Violations) == 0 || small.Violations[0].Invariant != big.Violations[0].Invariant {
		t.Errorf("from %d sagas and %v to %d sagas and %v", big.Sagas, big.Violations[0], small.Sagas, small.Violations)
	}
	if again := Run(t.Context(), small.Options); again.Digest != small.Digest {
		t.Error("the shrunk options do not show the shrunk run")
	}
}

// TestMissing checks that a batch without faults is reported, because it proves nothing.
func TestMissing(t *testing.T) {
	totals := Batch{Seed: 1, Sagas: sometimes, Off: []Fault{BusLoses}}.Run(t.Context())
	if err := totals.Missing(nil); err == nil || !strings.Contains(err.Error(), "bus-loses") {
		t.Errorf("without bus-loses: %v", err)
	}
	if err := totals.Missing([]Fault{BusLoses}); err != nil && strings.Contains(err.Error(), "bus-loses") {
		t.Errorf("what is turned off need not happen: %v", err)
	}
}
