package coordinator

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/internal/quota"
)

// Limits for concurrent requests (I10), in total and per caller, so that no caller can use all
// slots (I13). A request beyond a limit is refused with resource_exhausted.
const (
	// MaxReads bounds the concurrent read requests. One caller may use at most as many slots as
	// remain free.
	MaxReads = 512
	// MaxBulk bounds the concurrent requests that decide about many sagas or handle many dead
	// letters. They have their own slots, and take turns with all other work at the shards.
	MaxBulk = 8
	// MaxBulkPerCaller is the number of slots of MaxBulk that one caller may use.
	MaxBulkPerCaller = 2
	// DefaultMaxWatches is the default of Config.MaxWatches, the number of open watch requests of
	// one caller. Ten times as many may be open in total.
	DefaultMaxWatches = 100

	// maxLooks bounds the concurrent store reads for wait and watch requests. These reads wait for a
	// slot, and do not use the slots of MaxReads.
	maxLooks = 64
)

// admit takes a slot in a quota, or returns an error for the caller.
func admit(q *quota.Quota, caller, kind, limit string) error {
	switch err := q.Take(caller); {
	case errors.Is(err, quota.ErrEach):
		return &busyError{retryOpen, fmt.Sprintf("too many %s of one caller at once (%s); try again when some of them have ended", kind, limit)}
	case err != nil:
		return &busyError{retryOpen, fmt.Sprintf("too many %s at once (%s); try again", kind, limit)}
	}
	return nil
}
