//go:build lab

package bench_test

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/bench"
)

// TestSharedFsyncs: with hundreds of sagas in flight, group commit shares fsyncs. A saga has five
// to seven transitions, and a transaction two fsyncs: without sharing there would be ten or more
// per saga.
func TestSharedFsyncs(t *testing.T) {
	for callers, mix := range mixes {
		t.Run(string(callers), func(t *testing.T) {
			f := run(t, bench.Options{Mix: mix, InFlight: 256, For: 2 * time.Second, Dir: t.TempDir(), Callers: callers})
			if f.FsyncsPerSaga > 0.5 {
				t.Errorf("%.2f fsyncs per saga with %d in flight, at most 0.5", f.FsyncsPerSaga, f.InFlight)
			}
			// 190 when commands and answers travel in bundles, 265 when commands do not.
			if mix == bench.AllWell && f.AllocationsPerStep > 230 {
				t.Errorf("%.0f allocations a transition with %d in flight, at most 230", f.AllocationsPerStep, f.InFlight)
			}
		})
	}
}
