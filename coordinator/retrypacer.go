package coordinator

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long a refused caller is told to wait at least: for room in a queue, which empties in a
// moment, and for sagas to end; and at most.
const (
	retryBusy = 250 * time.Millisecond
	retryOpen = time.Second
	retryMost = 30 * time.Second
)

// retryPacer tells callers whose start is refused when to retry: one after the other, a little
// faster than starts are admitted, because some callers do not return and more room may appear.
// The pace has a maximum gap at which retries are still cheap. Without it, a hundred thousand
// callers would all retry at the same time.
type retryPacer struct {
	taken atomic.Int64 // starts admitted since the last count

	mu    sync.Mutex
	since time.Time     // of the last count
	each  time.Duration // interval between two retries, according to it
	last  time.Time     // the last retry time given
}

const (
	// pacerInterval is the interval at which admitted starts are counted while others are refused.
	pacerInterval = time.Second
	// pacerMaxGap is the longest interval between two retries: a moment without room says nothing
	// about the next, and must not send a few callers away for long.
	pacerMaxGap = time.Millisecond
)

// admitted counts an admitted start.
func (t *retryPacer) admitted() { t.taken.Add(1) }

// next returns how long the caller refused now should wait, at least the given time.
func (t *retryPacer) next(now time.Time, least time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch passed := now.Sub(t.since); {
	case passed < 0 || passed > 4*pacerInterval: // nobody was refused for a while, so the pace is unknown
		t.taken.Store(0)
		t.each, t.since = 0, now
	case passed >= pacerInterval:
		t.each, t.since = min(passed*2/3/time.Duration(max(t.taken.Swap(0), 1)), pacerMaxGap), now
	}
	if t.last.Before(now) || t.last.After(now.Add(retryMost)) {
		t.last = now
	}
	t.last = t.last.Add(t.each)
	return min(max(t.last.Sub(now), least), retryMost)
}
