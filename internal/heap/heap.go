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

// Floor is the heap size in bytes below which garbage is not collected, even if only little of the
// heap is live. The cost of a collection depends on the live heap. With Go's default, a coordinator
// with a live heap of 50 MB collects ten times a second under load.
const Floor = 256 << 20

// Limits of GOGC: Go's default and the maximum.
const (
	ordinary = 100
	largest  = 400
)

// pace is the interval at which GOGC is adjusted.
const pace = 250 * time.Millisecond

// Tune makes the garbage collector wait until the heap has grown to five times its live size, to
// Floor, or to half the memory limit, whichever is smallest. It sets the memory limit to nine
// tenths of the cgroup's limit, such as that of a container. GOGC and GOMEMLIMIT in the environment
// take precedence. Tune returns at once, and adjusts GOGC in the background until ctx ends.
func Tune(ctx context.Context, logger *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(share))
	if err != nil {
		logger.Warn("cannot detect the memory limit; set GOMEMLIMIT if there is one", slog.Any("error", err))
	}
	if limit < math.MaxInt64 {
		logger.Info("memory limit detected", slog.Int64("limit_bytes", limit))
	}
	if os.Getenv("GOGC") == "" {
		go hold(ctx, floor(limit))
	}
}

// share is the part of the cgroup's limit that Go may use.
const share = 0.9

// Limit returns the memory limit of this process in bytes, before and after Tune: GOMEMLIMIT, or
// nine tenths of the cgroup's limit, or the memory of the machine, whichever is smallest.
func Limit() (int64, error) {
	limit := debug.SetMemoryLimit(-1)
	found, err := memlimit.ApplyFallback(memlimit.ApplyRatio(memlimit.FromCgroup, share), memlimit.FromSystem)()
	if err != nil && limit == math.MaxInt64 {
		return 0, err
	}
	if err == nil && found < uint64(limit) {
		limit = int64(found)
	}
	return limit, nil
}

// floor returns Floor, or half the memory limit if that is smaller.
func floor(limit int64) uint64 { return uint64(min(Floor, limit/2)) }

// hold adjusts GOGC until ctx ends, and then resets it.
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

// percent returns the GOGC with which the heap grows to floor. live is the size of the live heap;
// roots is the size of other scanned memory. The goal is live + (live+roots)*GOGC/100
// (https://go.dev/doc/gc-guide).
func percent(floor, live, roots uint64) int {
	if live >= floor {
		return ordinary
	}
	return int(min(max((floor-live)*100/max(live+roots, 1), ordinary), largest))
}
