package heap

import (
	"context"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestPercent(t *testing.T) {
	const mb = 1 << 20
	for name, tt := range map[string]struct {
		floor, live, roots uint64
		want               int
	}{
		"up to the floor":                 {256 * mb, 64 * mb, 0, 300},
		"roots count for the goal":        {256 * mb, 60 * mb, 4 * mb, 306},
		"at most five times":              {256 * mb, 5 * mb, 0, 400},
		"at least twice":                  {256 * mb, 200 * mb, 0, 100},
		"more in use than the floor":      {256 * mb, 3000 * mb, 0, 100},
		"nothing collected so far":        {256 * mb, 0, 0, 400},
		"a floor of half a small machine": {32 * mb, 16 * mb, 0, 100},
	} {
		if got := percent(tt.floor, tt.live, tt.roots); got != tt.want {
			t.Errorf("%s: percent(%d, %d, %d) = %d, want %d", name, tt.floor, tt.live, tt.roots, got, tt.want)
		}
	}
}

// TestLimit checks that Limit prefers GOMEMLIMIT, and otherwise finds a limit that is not larger than
// the machine.
func TestLimit(t *testing.T) {
	system, err := memlimit.FromSystem()
	if err != nil {
		t.Fatal(err)
	}
	if limit, err := Limit(); err != nil || limit <= 0 || debug.SetMemoryLimit(-1) == math.MaxInt64 && uint64(limit) > system {
		t.Errorf("Limit() = %d, %v on a machine with %d bytes", limit, err, system)
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(300 << 20))
	if limit, err := Limit(); limit != 300<<20 || err != nil {
		t.Errorf("Limit() = %d, %v with a GOMEMLIMIT of 300 MiB", limit, err)
	}
}

func TestFloor(t *testing.T) {
	for limit, want := range map[int64]uint64{math.MaxInt64: Floor, 400 << 20: 200 << 20, 72 << 20: 36 << 20} {
		if got := floor(limit); got != want {
			t.Errorf("floor(%d) = %d, want %d", limit, got, want)
		}
	}
}

// TestSuit: with a small live heap, the process collects garbage less often; with a large one, as
// often as usual. Afterwards GOGC is reset.
func TestSuit(t *testing.T) {
	t.Setenv("GOGC", "")
	synctest.Test(t, func(t *testing.T) {
		little := pointers(40 << 20)
		ordinarily := garbage()
		ctx, cancel := context.WithCancel(t.Context())
		Tune(ctx, slog.New(slog.DiscardHandler))
		synctest.Wait()
		if suited := garbage(); suited < 2*ordinarily {
			t.Errorf("%d MiB of garbage before a collection, %d MiB without the floor: want at least twice as much", suited>>20, ordinarily>>20)
		}
		runtime.KeepAlive(little)
		much := pointers(Floor)
		runtime.GC()
		time.Sleep(pace) // virtual time: GOGC is adjusted again
		synctest.Wait()
		if got := gogc(); got != ordinary {
			t.Errorf("GOGC is %d with more in use than the floor, want %d", got, ordinary)
		}
		runtime.KeepAlive(much)
		runtime.GC()
		time.Sleep(pace) // virtual time: GOGC is adjusted again
		synctest.Wait()
		if got := gogc(); got != largest {
			t.Errorf("GOGC is %d with next to nothing in use, want %d", got, largest)
		}
		cancel()
		synctest.Wait()
		if got := gogc(); got != ordinary {
			t.Errorf("GOGC is %d after the end, want %d", got, ordinary)
		}
	})
}

// TestSuitLeavesTheEnvironment: GOGC in the environment takes precedence.
func TestSuitLeavesTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "100")
	synctest.Test(t, func(t *testing.T) {
		Tune(t.Context(), slog.New(slog.DiscardHandler))
		synctest.Wait()
		if got := gogc(); got != ordinary {
			t.Errorf("GOGC is %d, want %d from the environment", got, ordinary)
		}
	})
}

// pointers allocates the given number of bytes with pointers, like the heap of a coordinator.
func pointers(size int) (all []*[1 << 10]byte) {
	for range size >> 10 {
		all = append(all, new([1 << 10]byte))
	}
	return all
}

// garbage returns how many bytes can be allocated before the next collection. This does not depend
// on the load of the machine.
func garbage() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}

func gogc() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}
