package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// figures are the results of a run. The names in JSON are those of coordinator bench.
type figures struct {
	SagasPerSecond    float64 `json:"sagas_per_second"`
	P50Ms             float64 `json:"p50_ms"`
	P99Ms             float64 `json:"p99_ms"`
	CPUSecondsPer1000 float64 `json:"cpu_seconds_per_1000"` // server, services and callers
	FsyncsPerSaga     float64 `json:"fsyncs_per_saga"`      // of the log
	FsyncMs           float64 `json:"fsync_ms"`             // measured by coordinator bench only
	ServerShare       float64 `json:"-"`                    // of the CPU time; of Restate only
}

// counters are what the system under load has used so far.
type counters struct {
	server, rest time.Duration // CPU time; the rest are services and callers
	fsyncs       float64
}

// load keeps n sagas in flight.
type load struct {
	n     int
	d     time.Duration
	one   func(ctx context.Context, number int64) error // runs one saga to its end
	count func(ctx context.Context) (counters, error)

	started, ended atomic.Int64
	counting       atomic.Bool
	mu             sync.Mutex
	took           []time.Duration
}

// measure counts the sagas that end within l.d after a warm-up of a fifth of it, as coordinator
// bench does.
func (l *load) measure(ctx context.Context) (figures, error) {
	ctx, stop := context.WithCancelCause(ctx)
	var callers sync.WaitGroup
	defer callers.Wait()
	defer stop(nil)
	for range l.n {
		callers.Go(func() { stop(l.call(ctx)) })
	}
	l.pass(ctx, l.d/5)
	before, err := l.count(ctx)
	if err != nil {
		return figures{}, cmp.Or(context.Cause(ctx), err)
	}
	n, began := l.ended.Load(), time.Now()
	l.counting.Store(true)
	l.pass(ctx, l.d)
	seconds, sagas := time.Since(began).Seconds(), float64(l.ended.Load()-n)
	l.counting.Store(false)
	after, err := l.count(ctx)
	if err = cmp.Or(context.Cause(ctx), err); err != nil {
		return figures{}, err
	}
	if sagas == 0 {
		return figures{}, fmt.Errorf("no saga ended within %s; try a longer --for", l.d)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	server, rest := (after.server - before.server).Seconds(), (after.rest - before.rest).Seconds()
	slices.Sort(l.took)
	return figures{
		SagasPerSecond: sagas / seconds, P50Ms: quantile(l.took, 0.5), P99Ms: quantile(l.took, 0.99),
		CPUSecondsPer1000: (server + rest) / sagas * 1000, ServerShare: server / (server + rest),
		FsyncsPerSaga: (after.fsyncs - before.fsyncs) / sagas,
	}, nil
}

// call runs one saga after the other until ctx ends or a saga fails.
func (l *load) call(ctx context.Context) error {
	for {
		began := time.Now()
		err := l.one(ctx, l.started.Add(1))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		l.ended.Add(1)
		if l.counting.Load() {
			l.mu.Lock()
			l.took = append(l.took, time.Since(began))
			l.mu.Unlock()
		}
	}
}

// longestWave limits the wait for the sagas in flight.
const longestWave = 2 * time.Minute

// pass waits for d, and then until as many sagas have ended as are in flight, but not longer than
// longestWave.
func (l *load) pass(ctx context.Context, d time.Duration) {
	began, from := time.Now(), l.ended.Load()
	timer, check := time.NewTimer(d), time.NewTicker(20*time.Millisecond)
	defer timer.Stop()
	defer check.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	for ctx.Err() == nil && l.ended.Load()-from < int64(l.n) && time.Since(began) < d+longestWave {
		<-check.C
	}
}

// quantile returns a quantile of sorted durations in milliseconds, and 0 if there are none.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(time.Millisecond)
}

// cpuOfSelf returns the CPU time of this process.
func cpuOfSelf() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// cpuOf returns the CPU time of another process, which Linux counts in hundredths of a second.
func cpuOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of a process, which needs it to run, on Linux: %w", err)
	}
	return parseStat(string(data))
}

// parseStat returns user and system time, the 12th and 13th field after the process's name, which
// may contain any character.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%q is not a /proc/PID/stat", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("user time in /proc/PID/stat: %w", err)
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("system time in /proc/PID/stat: %w", err)
	}
	return time.Duration(user+system) * (time.Second / 100), nil
}
