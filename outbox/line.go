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
	sent  bool // an earlier attempt to publish it may have succeeded
}

// line is what waits for one destination, and what the bus holds for it. Guarded by
// Relay.mu.
type line struct {
	to    Destination
	queue []item // waiting, in the order in which they were committed
	array []item // in which the queue began last
	bytes int    // of the queue

	rescan  bool     // the ledger is to be read, from its beginning
	reading bool     // the ledger is being read, in parts
	cursor  Position // how far

	problem error         // why the bus took nothing the last time; nil: it did
	since   time.Time     // since when it has not
	backoff time.Duration // before the next attempt; 0: none is waited for
	retryAt time.Time     // when that is

	pending   int // records in memory, those on the bus included, that are pending
	dead      int // items of the queue that are not pending any more
	held      int // messages on the bus, those under way included, that are neither answered nor expired
	heldBytes int
	unseen    int  // the bus's own count less held, when it was last told
	full      bool // what comes next in the queue is beyond the destination's share of the bus

	deficit int  // bytes that the destination may send in this round
	active  bool // it is in its lane's ring

	// What became of its part of a batch.
	again  []item
	failed error
	took   bool
}

// idle reports whether there is nothing to do for the destination.
func (l *line) idle() bool { return len(l.queue) == 0 && !l.rescan && !l.reading }

// waiting is how many records wait in memory.
func (l *line) waiting() int { return len(l.queue) - l.dead }

// waits reports whether the destination is to be left alone for now. A time that is
// further away than any backoff is one before the clock was set back.
func (l *line) waits(now time.Time) bool {
	return l.backoff > 0 && now.Before(l.retryAt) && l.retryAt.Sub(now) <= maxBackoff
}

// push appends a record. The queue grows by at least a window, so that one that is worked
// off while it grows is not copied again and again.
func (l *line) push(it item, window int) {
	if len(l.queue) == cap(l.queue) {
		l.array = slices.Grow(l.queue, max(len(l.queue), window))
		l.queue = l.array
	}
	l.queue = append(l.queue, it)
	l.bytes += it.size()
}

// pop takes the first record. An empty queue goes back to the beginning of its array,
// unless that has grown large in an outage.
func (l *line) pop(window int) {
	l.bytes -= l.queue[0].size()
	l.queue[0] = item{}
	if l.queue = l.queue[1:]; len(l.queue) > 0 {
		return
	}
	if cap(l.array) > 4*window {
		l.array = nil
	}
	l.queue = l.array[:0]
}

// prepend puts records in front of the queue.
func (l *line) prepend(items []item) {
	l.queue = append(items, l.queue...)
	for i := range items {
		l.bytes += items[i].size()
	}
}

// lose notes that a record in the queue is not pending any more. The queue is rewritten when
// half of it is like that.
func (l *line) lose(pending func(ID) bool) {
	if l.dead++; l.dead < 64 || l.dead < len(l.queue)/2 {
		return
	}
	l.queue = slices.DeleteFunc(l.queue, func(it item) bool {
		if pending(it.ID) {
			return false
		}
		l.bytes -= it.size()
		return true
	})
	l.dead = 0
}

// onBus is how many messages, and about how many bytes, the bus holds for the
// destination.
func (l *line) onBus() (messages, bytes int) {
	mean := headerBytes * 2
	if l.held > 0 {
		mean = l.heldBytes / l.held
	}
	return max(l.held+l.unseen, 0), max(l.heldBytes+l.unseen*mean, 0)
}

// The wait before a destination that was refused is tried again doubles from minBackoff
// to longBackoff, and grows to maxBackoff when it has been refused for a quarter of an
// hour.
const (
	minBackoff  = 20 * time.Millisecond
	longBackoff = 2 * time.Second
	maxBackoff  = 30 * time.Second
)

// refused notes that the bus does not take what goes to the destination.
func (l *line) refused(now time.Time, err error) {
	if l.problem == nil {
		l.since = now
	}
	limit := min(max(now.Sub(l.since)/30, longBackoff), maxBackoff)
	l.problem, l.backoff = err, min(max(2*l.backoff, minBackoff), limit)
	l.retryAt = now.Add(l.backoff)
}

// accepted notes that the bus takes what goes to the destination.
func (l *line) accepted() { l.problem, l.backoff = nil, 0 }

// lane is what goes to one stream. Streams are published to apart: one that does not
// answer holds up no other.
type lane struct {
	stream transport.Stream
	wake   chan struct{} // capacity 1

	// Guarded by Relay.mu.
	ring     []*line // the lines with something to do
	at       int     // where the next round begins
	unlisted bool    // the ledger is to be asked which destinations there are

	// Of whoever steps the lane.
	batch     []item
	envelopes []transport.Envelope
	touched   []*line
	trimAt    time.Time // when the ledger is next looked at for announcements that are too many
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// tidy drops the lines without anything to do from the ring.
func (l *lane) tidy() {
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
