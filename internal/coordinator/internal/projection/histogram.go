package projection

import (
	"math"
	"math/bits"
	"time"
)

// A histogram has four buckets for each doubling, starting at 64 µs. A quantile is exact to within
// 20 %.
const (
	bucketsEach = 4
	firstBucket = 64 * time.Microsecond
	doublings   = 36 // up to 50 days; the last bucket holds longer durations
)

// histogram counts durations in a constant 1160 bytes.
type histogram struct {
	count   uint64
	buckets [doublings * bucketsEach]uint64
}

func (h *histogram) add(d time.Duration) {
	h.count++
	h.buckets[bucketOf(d)]++
}

// merge adds the counts of another histogram.
func (h *histogram) merge(other *histogram) {
	h.count += other.count
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// bucketOf returns the bucket that counts a duration. A bucket counts durations from its own bound
// up to, but excluding, the bound of the next bucket.
func bucketOf(d time.Duration) int {
	if d < firstBucket {
		return 0
	}
	units := uint64(d / (firstBucket / bucketsEach))                // at least bucketsEach
	doubling := bits.Len64(units) - bits.Len64(uint64(bucketsEach)) // doublings of firstBucket
	quarter := units>>doubling - bucketsEach                        // 0 … bucketsEach-1
	return min(1+doubling*bucketsEach+int(quarter), len(histogram{}.buckets)-1)
}

// bound returns the shortest duration that a bucket counts, in seconds.
func bound(bucket int) float64 {
	if bucket == 0 {
		return 0
	}
	doubling, quarter := (bucket-1)/bucketsEach, (bucket-1)%bucketsEach
	return firstBucket.Seconds() * math.Exp2(float64(doubling)) * (1 + float64(quarter)/bucketsEach)
}

// quantile returns the duration, in seconds, that the given share of all durations did not exceed.
func (h *histogram) quantile(share float64) float64 {
	if h.count == 0 {
		return 0
	}
	want, seen := share*float64(h.count), 0.0
	for i, n := range h.buckets {
		if n > 0 && seen+float64(n) >= want {
			return bound(i) + (bound(i+1)-bound(i))*(want-seen)/float64(n)
		}
		seen += float64(n)
	}
	return bound(len(h.buckets))
}

// Latency is a distribution of durations, in seconds.
type Latency struct {
	Count    int64
	P50, P99 float64
}

// latency returns the distribution, or nil if nothing was counted.
func (h *histogram) latency() *Latency {
	if h.count == 0 {
		return nil
	}
	return &Latency{Count: int64(h.count), P50: h.quantile(0.5), P99: h.quantile(0.99)}
}
