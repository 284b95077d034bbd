package bench_test

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/bench"
)

// The benchmark runs, its sagas end as they should, and group commit shares
// fsyncs: counts that hold on any machine.
func TestRun(t *testing.T) {
	for callers, mix := range map[bench.Callers]bench.Mix{bench.CallersRun: bench.AllWell, bench.CallersWait: bench.Compensating, bench.CallersListen: bench.Compensating} {
		t.Run(string(callers), func(t *testing.T) {
			o := bench.Options{Mix: mix, InFlight: 256, For: 2 * time.Second, Dir: t.TempDir(), Callers: callers}
			f, err := bench.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", f)
			if f.Sagas == 0 || f.P50Ms <= 0 || f.P99Ms < f.P50Ms {
				t.Errorf("implausible figures: %+v", f)
			}
			if f.MessagesPerSaga < 10 || f.FsyncMs <= 0 || f.LatencyRatio != 0 {
				t.Errorf("implausible yardsticks: %+v", f)
			}
			// Five to seven transitions a saga, two fsyncs a transaction: without sharing
			// ten or more.
			if f.FsyncsPerSaga > 0.5 {
				t.Errorf("%.2f fsyncs per saga with %d in flight, at most 0.5", f.FsyncsPerSaga, f.InFlight)
			}
		})
	}
}
