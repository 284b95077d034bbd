package coordinator

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/internal/quota"
)

// Bounds of the requests that are served at once (I10), in all and of each caller, so that
// one caller's do not keep out the others' (I13). Beyond them a request is refused with
// resource_exhausted.
const (
	// MaxReads bounds the requests that read. A caller may have as many as the others leave.
	MaxReads = 512
	// MaxBulk bounds the requests that decide about many sagas, or handle many dead letters:
	// they have slots of their own, and take turns with all else at the shards.
	MaxBulk = 8
	// MaxBulkPerCaller is how many of MaxBulk one caller may have.
	MaxBulkPerCaller = 2
	// DefaultMaxWatches is how many watch requests of one caller are held, unless
	// Config.MaxWatches says otherwise; ten times as many are in all.
	DefaultMaxWatches = 100

	// maxLooks bounds the looks at the store for requests that are held: they wait for a
	// slot, and take none of those who read.
	maxLooks = 64
)

// admit takes a slot in a quota, or refuses: nil is taken.
func admit(q *quota.Quota, caller, kind, limit string) error {
	switch err := q.Take(caller); {
	case errors.Is(err, quota.ErrEach):
		return &busyError{retryOpen, fmt.Sprintf("too many %s of one caller at once (%s): others are to get in as well; try again when some have ended", kind, limit)}
	case err != nil:
		return &busyError{retryOpen, fmt.Sprintf("too many %s at once (%s); try again", kind, limit)}
	}
	return nil
}
