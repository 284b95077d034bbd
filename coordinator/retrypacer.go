package coordinator

import (
	"sync"
	"sync/atomic"
	"time"
)

// What a caller who is refused is told to wait at least: for room in a queue,
// which is worked off in a moment, and for sagas to end; and at most.
const (
	retryBusy = 250 * time.Millisecond
	retryOpen = time.Second
	retryMost = 30 * time.Second
)

// retryPacer tells callers whose start is refused when to come back: one after the
// other, somewhat faster than others are let in, because some do not come back,
// and because there may be room for more than came; and never slower than asking
// costs little. A hundred thousand callers who were all told to come back in a
// moment would do little else.
type retryPacer struct {
	taken atomic.Int64 // starts since the last count

	mu    sync.Mutex
	since time.Time     // of the last count
	each  time.Duration // between two turns, by it
	last  time.Time     // the last turn that was given
}

const (
	// pacerInterval is how often the starts that are taken are counted, while some are
	// refused.
	pacerInterval = time.Second
	// pacerMaxGap is the longest time between two turns: a moment without room, which
	// says nothing about the next, must not send a small crowd away for long.
	pacerMaxGap = time.Millisecond
)

// admitted counts a start that was let in.
func (t *retryPacer) admitted() { t.taken.Add(1) }

// next is how long the caller waits who is refused now, at least so long.
func (t *retryPacer) next(now time.Time, least time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch passed := now.Sub(t.since); {
	case passed < 0 || passed > 4*pacerInterval: // nobody was refused for a while: the pace is not known yet
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
