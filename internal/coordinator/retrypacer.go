package coordinator

import (
	"sync"
	"sync/atomic"
	"time"
)

// Limits for the retry delay of a refused caller. The minimum is retryBusy when waiting for
// room in a queue, which empties quickly, and retryOpen when waiting for sagas to end.
const (
	retryBusy = 250 * time.Millisecond
	retryOpen = time.Second
	retryMost = 30 * time.Second
)

// retryPacer spreads the retries of callers whose start is refused: each gets a later time than the
// previous one. Retries are a little more frequent than admitted starts, because some callers do
// not return and more room may appear. Without pacing, a hundred thousand callers would all retry
// at the same time.
type retryPacer struct {
	taken atomic.Int64 // starts admitted since the last count

	mu    sync.Mutex
	since time.Time     // time of the last count
	each  time.Duration // interval between two retries, derived from the last count
	last  time.Time     // the latest retry time given to a caller
}

const (
	// pacerInterval is the interval at which admitted starts are counted while others are refused.
	pacerInterval = time.Second
	// pacerMaxGap is the longest interval between two retries; even at this rate retries are cheap. A
	// moment without room does not predict another one, so a few callers must not be delayed for long.
	pacerMaxGap = time.Millisecond
)

// admitted counts an admitted start.
func (t *retryPacer) admitted() { t.taken.Add(1) }

// next returns how long the caller being refused should wait, at least the given time.
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
