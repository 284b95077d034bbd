package coordinator

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/internal/quota"
)

// Bounds of the requests served at once (I10), in total and per caller, so that one caller does
// not lock out others (I13). Beyond them a request is refused with resource_exhausted.
const (
	// MaxReads bounds the requests that read. One caller may use as many slots as are still free.
	MaxReads = 512
	// MaxBulk bounds the requests that decide about many sagas or handle many dead letters. They
	// have their own slots, and take turns with all other work at the shards.
	MaxBulk = 8
	// MaxBulkPerCaller is how many of MaxBulk one caller may use.
	MaxBulkPerCaller = 2
	// DefaultMaxWatches is the default of Config.MaxWatches: the open watch requests of one
	// caller. Ten times as many may be open in total.
	DefaultMaxWatches = 100

	// maxLooks bounds the concurrent store reads for held requests. They wait for a slot, and use
	// none of those for MaxReads.
	maxLooks = 64
)

// admit takes a slot in a quota, or returns the refusal.
func admit(q *quota.Quota, caller, kind, limit string) error {
	switch err := q.Take(caller); {
	case errors.Is(err, quota.ErrEach):
		return &busyError{retryOpen, fmt.Sprintf("too many %s of one caller at once (%s): others are to get in as well; try again when some have ended", kind, limit)}
	case err != nil:
		return &busyError{retryOpen, fmt.Sprintf("too many %s at once (%s); try again", kind, limit)}
	}
	return nil
}
