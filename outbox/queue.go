package outbox

import (
	"slices"
	"time"

	"github.com/amends-dev/amends/transport"
)

// item is a record in memory.
type item struct {
	Record
	since time.Time
	sent  bool // an earlier publish may have succeeded
}

// queue holds the records waiting for one destination, and counts what the bus holds for it.
// Guarded by Relay.mu.
type queue struct {
	to    Destination
	items []item // waiting, in commit order
	array []item // the start of the array behind items, kept for reuse
	bytes int    // of items

	rescan  bool     // read the ledger from its beginning
	reading bool     // in the middle of reading the ledger
	cursor  Position // how far the ledger has been read

	problem error         // why the bus took nothing in the last attempt; nil: it did
	since   time.Time     // when the problem began
	backoff time.Duration // current wait between attempts; 0: none
	retryAt time.Time     // when the wait ends

	pending    int // pending records known in memory, including those on the bus
	dead       int // items that are no longer pending
	held       int // messages on the bus or being published, neither answered nor expired
	heldBytes  int
	correction int  // the bus's own count minus held, as of the last Correct
	full       bool // the next item does not fit into the destination's share of the bus

	deficit int  // bytes the destination may still send in this round
	active  bool // in its lane's ring

	// The outcome of its part of the current batch.
	again       []item
	failed      error
	anyAccepted bool
}

// idle reports whether there is nothing to do for the destination.
func (l *queue) idle() bool { return len(l.items) == 0 && !l.rescan && !l.reading }

// waiting returns how many pending records wait in memory.
func (l *queue) waiting() int { return len(l.items) - l.dead }

// backingOff reports whether the destination waits for its next attempt. A retryAt further away
// than maxBackoff was set before the clock was set back, and is ignored.
func (l *queue) backingOff(now time.Time) bool {
	return l.backoff > 0 && now.Before(l.retryAt) && l.retryAt.Sub(now) <= maxBackoff
}

// push appends a record. The array grows by at least a window, so that a queue that is drained
// while it grows is not copied again and again.
func (l *queue) push(it item, window int) {
	if len(l.items) == cap(l.items) {
		l.array = slices.Grow(l.items, max(len(l.items), window))
		l.items = l.array
	}
	l.items = append(l.items, it)
	l.bytes += it.size()
}

// pop removes the first record. An empty queue reuses its array from the start, unless the array
// has grown large in an outage.
func (l *queue) pop(window int) {
	l.bytes -= l.items[0].size()
	l.items[0] = item{}
	if l.items = l.items[1:]; len(l.items) > 0 {
		return
	}
	if cap(l.array) > 4*window {
		l.array = nil
	}
	l.items = l.array[:0]
}

// prepend puts records in front of the queue.
func (l *queue) prepend(items []item) {
	l.items = append(items, l.items...)
	for i := range items {
		l.bytes += items[i].size()
	}
}

// markDead notes that a queued record is no longer pending. The queue is compacted once half of its
// records are dead.
func (l *queue) markDead(pending func(ID) bool) {
	if l.dead++; l.dead < 64 || l.dead < len(l.items)/2 {
		return
	}
	l.items = slices.DeleteFunc(l.items, func(it item) bool {
		if pending(it.ID) {
			return false
		}
		l.bytes -= it.size()
		return true
	})
	l.dead = 0
}

// onBus returns how many messages the bus holds for the destination, and about how many bytes.
func (l *queue) onBus() (messages, bytes int) {
	mean := headerBytes * 2
	if l.held > 0 {
		mean = l.heldBytes / l.held
	}
	return max(l.held+l.correction, 0), max(l.heldBytes+l.correction*mean, 0)
}

// The backoff of a refused destination doubles from minBackoff to longBackoff. The limit grows to
// maxBackoff once the destination has been refused for a quarter of an hour.
const (
	minBackoff  = 20 * time.Millisecond
	longBackoff = 2 * time.Second
	maxBackoff  = 30 * time.Second
)

// refused notes that the bus refused a record of the destination, and starts the backoff.
func (l *queue) refused(now time.Time, err error) {
	if l.problem == nil {
		l.since = now
	}
	limit := min(max(now.Sub(l.since)/30, longBackoff), maxBackoff)
	l.problem, l.backoff = err, min(max(2*l.backoff, minBackoff), limit)
	l.retryAt = now.Add(l.backoff)
}

// accepted notes that the bus accepted a record of the destination, and ends the backoff.
func (l *queue) accepted() { l.problem, l.backoff = nil, 0 }

// lane holds the queues of one stream. Each stream is published to on its own, so one that does not
// answer delays no other.
type lane struct {
	stream transport.Stream
	wake   chan struct{} // capacity 1

	// Guarded by Relay.mu.
	ring   []*queue // queues with something to do
	at     int      // where the next round begins
	relist bool     // ask the ledger for the destinations that have pending records

	// Used only by the goroutine that steps the lane.
	batch     []item
	envelopes []transport.Envelope
	touched   []*queue
	trimAt    time.Time // when announcements are next counted
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// dropIdle removes idle queues from the ring.
func (l *lane) dropIdle() {
	kept := l.ring[:0]
	for _, one := range l.ring {
		if one.idle() {
			one.active, one.deficit = false, 0
		} else {
			kept = append(kept, one)
		}
	}
	clear(l.ring[len(kept):])
	l.ring = kept
	if l.at >= len(kept) {
		l.at = 0
	}
}
