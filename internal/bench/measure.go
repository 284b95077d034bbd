package bench

import (
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// resources holds what the process has used so far.
type resources struct {
	cpu         time.Duration
	allocations uint64
	peak        int64 // bytes
}

func usage() resources {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return resources{
		cpu:         time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		allocations: m.Mallocs,
		peak:        r.Maxrss * 1024, // Linux counts in KiB
	}
}

// recorder records the duration of each saga.
type recorder struct {
	mu    sync.Mutex
	times []time.Duration
	clean bool // sorted
}

func (r *recorder) add(d time.Duration) {
	r.mu.Lock()
	r.times = append(r.times, d)
	r.clean = false
	r.mu.Unlock()
}

// quantile returns a quantile in milliseconds.
func (r *recorder) quantile(q float64) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.times) == 0 {
		return 0
	}
	if !r.clean {
		slices.Sort(r.times)
		r.clean = true
	}
	return float64(r.times[int(q*float64(len(r.times)-1))]) / float64(time.Millisecond)
}
