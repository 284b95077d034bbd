package heap

import (
	"context"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Floor is the size, in bytes, that the heap may grow to before garbage is collected,
// however little of it is in use. Each collection costs by what is in use, and frees
// what is not: with Go's default, twice what is in use, a coordinator under load that
// uses 50 MB collects ten times a second.
const Floor = 256 << 20

// What GOGC may be: the heap grows to twice what is in use, Go's default, or to five
// times at most.
const (
	ordinary = 100
	largest  = 400
)

// pace is how often GOGC is fitted to what is in use.
const pace = 250 * time.Millisecond

// Tune has the process collect garbage no sooner than its heap has grown to five times
// what is in use, or to Floor, or to half the memory limit, whichever is least; and sets
// that limit to nine tenths of what the cgroup, such as a container, may use. Where GOGC
// or GOMEMLIMIT is set in the environment, it holds instead. It returns at once and goes
// on until ctx ends.
func Tune(ctx context.Context, logger *slog.Logger) {
	limit, err := memlimit.Set()
	if err != nil {
		logger.Warn("cannot find out how much memory this process may use; set GOMEMLIMIT if it is limited", slog.Any("error", err))
	}
	if limit < math.MaxInt64 {
		logger.Info("memory is limited", slog.Int64("limit_bytes", limit))
	}
	if os.Getenv("GOGC") == "" {
		go hold(ctx, floor(limit))
	}
}

// floor is Floor, or half of what the process may use.
func floor(limit int64) uint64 { return uint64(min(Floor, limit/2)) }

// hold fits GOGC to a floor until ctx ends; then it is ordinary.
func hold(ctx context.Context, floor uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"},
	}
	last := ordinary
	defer debug.SetGCPercent(ordinary)
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for ctx.Err() == nil {
		metrics.Read(samples)
		live, roots := samples[0].Value.Uint64(), samples[1].Value.Uint64()+samples[2].Value.Uint64()
		if p := percent(floor, live, roots); p != last {
			debug.SetGCPercent(p)
			last = p
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// percent is the GOGC with which the heap grows to the floor when live of it is in use,
// and roots are what is scanned outside of it: the goal is live + (live+roots)*GOGC/100
// (https://go.dev/doc/gc-guide).
func percent(floor, live, roots uint64) int {
	if live >= floor {
		return ordinary
	}
	return int(min(max((floor-live)*100/max(live+roots, 1), ordinary), largest))
}
