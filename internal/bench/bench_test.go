package bench_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/bench"
)

// TestRun runs the benchmark with every kind of caller and checks that its sagas end as they
// should. (TestSharedFsyncs, in the laboratory, checks the number of fsyncs.)
func TestRun(t *testing.T) {
	for callers, mix := range mixes {
		t.Run(string(callers), func(t *testing.T) {
			run(t, bench.Options{Mix: mix, InFlight: 16, For: 100 * time.Millisecond, Dir: t.TempDir(), Callers: callers})
		})
	}
}

// TestBusInMemory checks which streams are in files.
func TestBusInMemory(t *testing.T) {
	for _, memory := range []bool{false, true} {
		o := bench.Options{Mix: bench.AllWell, InFlight: 16, For: 100 * time.Millisecond, Dir: t.TempDir(), BusInMemory: memory}
		f := run(t, o)
		commands, err := filepath.Glob(filepath.Join(o.Dir, "nats", "jetstream", "*", "streams", "SAGA_COMMANDS"))
		if err != nil || (len(commands) == 0) != memory || (f.BusStorage == "memory") != memory {
			t.Errorf("in memory %t: storage %s, files %q, %v", memory, f.BusStorage, commands, err)
		}
	}
}

// mixes combines each kind of caller with a mix.
var mixes = map[bench.Callers]bench.Mix{
	bench.CallersRun: bench.AllWell, bench.CallersWait: bench.Compensating, bench.CallersListen: bench.Compensating,
}

// run measures, and checks that the results are plausible.
func run(t *testing.T, o bench.Options) bench.Figures {
	t.Helper()
	f, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f)
	if f.Sagas == 0 || f.P50Ms <= 0 || f.P99Ms < f.P50Ms {
		t.Errorf("implausible figures: %+v", f)
	}
	if f.MessagesPerSaga < 10 || f.FsyncMs <= 0 || f.LatencyRatio != 0 {
		t.Errorf("implausible baselines: %+v", f)
	}
	return f
}
