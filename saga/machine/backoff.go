package machine

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// backoff returns the wait after an attempt. The interval starts at InitialInterval and doubles
// with each attempt up to MaxInterval. The wait is between half of the interval and all of it. The
// jitter is a hash of the key and the attempt: it differs between sagas, but is the same in every
// replay (I6).
func backoff(action *Action, key contract.Key, attempt int) time.Duration {
	wait, limit := action.InitialInterval, action.MaxInterval
	for range attempt - 1 {
		if wait >= limit/2 {
			wait = limit
			break
		}
		wait *= 2
	}
	wait = min(wait, limit)
	half := wait / 2
	if half <= 0 {
		return wait
	}
	return half + time.Duration(hash(key, attempt)%uint64(half+1))
}

// hash returns the FNV-1a hash of a key and an attempt, with a final mix, so that the hashes of
// adjacent attempts differ in all bits. The hash depends neither on the key's birth nor on the
// wire's text for the direction, so that the jitter of recorded histories stays the same.
func hash(key contract.Key, attempt int) uint64 {
	const prime = 1099511628211
	direction := "do"
	if key.Direction == contract.DirectionUndo {
		direction = "undo"
	}
	h := uint64(14695981039346656037)
	for _, part := range [...]string{string(key.Saga), string(key.Step), direction} {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * prime
		}
		h = (h ^ 0xff) * prime
	}
	h = (h ^ uint64(attempt)) * prime
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}
