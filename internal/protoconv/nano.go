package protoconv

import (
	"fmt"
	"math"
	"time"
)

// first and last are the earliest and latest times that int64 nanoseconds can represent (1677-09-21
// and 2262-04-11).
var (
	first = time.Unix(0, math.MinInt64)
	last  = time.Unix(0, math.MaxInt64)
)

// Nano returns t in nanoseconds since 1970-01-01T00:00:00Z, and 0 for the zero time. It returns an
// error for times outside 1677-09-21 … 2262-04-11, and for 1970-01-01T00:00:00Z itself, which would
// be 0. what names the time in errors.
func Nano(what string, t time.Time) (int64, error) {
	if t.IsZero() {
		return 0, nil
	}
	if t.Before(first) || t.After(last) {
		return 0, fmt.Errorf("%s %s cannot be written down: use a time between the years 1678 and 2261", what, t.UTC().Format(time.RFC3339))
	}
	n := t.UnixNano()
	if n == 0 {
		return 0, fmt.Errorf("%s 1970-01-01T00:00:00Z cannot be written down: it would be read as no time", what)
	}
	return n, nil
}

// Time is the inverse of Nano. It returns a time in UTC, or the zero time for 0.
func Time(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
