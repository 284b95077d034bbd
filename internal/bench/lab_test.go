//go:build lab

package bench_test

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/bench"
)

// TestSharedFsyncs checks that group commit shares fsyncs when hundreds of sagas are in flight. A
// saga has five to seven transitions, and each has an fsync. Without sharing there would be five or more
// fsyncs per saga.
func TestSharedFsyncs(t *testing.T) {
	for callers, mix := range mixes {
		t.Run(string(callers), func(t *testing.T) {
			f := run(t, bench.Options{Mix: mix, InFlight: 256, For: 2 * time.Second, Dir: t.TempDir(), Callers: callers})
			if f.FsyncsPerSaga > 0.5 {
				t.Errorf("%.2f fsyncs per saga with %d in flight, at most 0.5", f.FsyncsPerSaga, f.InFlight)
			}
			// It is 215 when commands and answers are bundled, and 290 when commands are not.
			if mix == bench.AllWell && f.AllocationsPerStep > 240 {
				t.Errorf("%.0f allocations a transition with %d in flight, at most 240", f.AllocationsPerStep, f.InFlight)
			}
		})
	}
}
