package outbox

import (
	"slices"
	"time"

	"github.com/amends-dev/amends/transport"
)

// item is a record in memory.
type item struct {
	Record
	since     time.Time
	sent      bool   // whether an earlier publish may have succeeded
	recovered bool   // whether the record waits in queue.recovered
	entry     uint64 // number of the entry in Relay.known that was made for it
}

// queue holds the records that wait for one destination, and counts the destination's messages on
// the bus. Relay.mu guards it.
type queue struct {
	to        Destination
	fresh     fifo // records pushed after their commit
	recovered fifo // commands that were pending at a start or a loss of the bus

	rescan     bool     // whether the ledger must be read from its beginning
	reading    bool     // whether the ledger has been read in part
	recovering bool     // whether that read finds records for recovered, or recovered has some
	cursor     Position // position up to which the ledger has been read

	problem error         // error of the last attempt, or nil if the bus accepted a record
	since   time.Time     // when the problem began
	backoff time.Duration // current wait between attempts, or 0
	retryAt time.Time     // when the wait ends

	pending       int // pending records known in memory, including those on the bus
	held          int // messages being published or on the bus, neither answered nor expired
	heldBytes     int
	heldRecovered int  // the commands among held that were taken from recovered
	correction    int  // at the last Correct, the bus's own count minus held
	full          bool // whether the next item exceeds the destination's share of the bus
	paced         bool // whether all items wait because of Options.Recovered
	recoveredNext bool // whether it is the turn of recovered; otherwise it is the turn of fresh

	deficit int  // bytes that the destination may still send in this round
	active  bool // whether the queue is in its lane's ring

	// The following fields hold the result of this queue's part of the current batch.
	again       []item
	failed      error
	anyAccepted bool
}

// idle reports whether the queue has nothing to send or to read.
func (l *queue) idle() bool {
	return len(l.fresh.items) == 0 && len(l.recovered.items) == 0 && !l.rescan && !l.reading
}

// waiting returns the number of pending records that wait in memory.
func (l *queue) waiting() int { return l.fresh.waiting() + l.recovered.waiting() }

// bytes returns the size of the records in memory.
func (l *queue) bytes() int { return l.fresh.bytes + l.recovered.bytes }

// line returns the part of the queue in which a record waits.
func (l *queue) line(recovered bool) *fifo {
	if recovered {
		return &l.recovered
	}
	return &l.fresh
}

// readInto returns the part of the queue that receives the records of the ledger.
func (l *queue) readInto() *fifo { return l.line(l.recovering) }

// endRecovery ends the mode in which recovered and fresh records take turns, once no recovered
// record is left.
func (l *queue) endRecovery() {
	if len(l.recovered.items) == 0 && !l.rescan && !l.reading {
		l.recovering = false
	}
}

// backingOff reports whether the destination waits for its next attempt. If retryAt is more than
// maxBackoff in the future, the clock was set back since, and retryAt is ignored.
func (l *queue) backingOff(now time.Time) bool {
	return l.backoff > 0 && now.Before(l.retryAt) && l.retryAt.Sub(now) <= maxBackoff
}

// fifo holds waiting records in commit order.
type fifo struct {
	items []item
	array []item // the array that items is a part of, kept for reuse
	bytes int    // size of items
	dead  int    // items that are no longer pending
}

// waiting returns the number of pending records.
func (f *fifo) waiting() int { return len(f.items) - f.dead }

// push appends a record. The array grows by at least a window, so that a queue which is drained
// while it grows is not copied repeatedly.
func (f *fifo) push(it item, window int) {
	if len(f.items) == cap(f.items) {
		f.array = slices.Grow(f.items, max(len(f.items), window))
		f.items = f.array
	}
	f.items = append(f.items, it)
	f.bytes += it.size()
}

// pop removes the first record. An empty queue reuses its array from the start, unless the array
// became large during an outage.
func (f *fifo) pop(window int) {
	f.bytes -= f.items[0].size()
	f.items[0] = item{}
	if f.items = f.items[1:]; len(f.items) > 0 {
		return
	}
	if cap(f.array) > 4*window {
		f.array = nil
	}
	f.items = f.array[:0]
}

// prepend puts records in front.
func (f *fifo) prepend(items []item) {
	f.items = append(items, f.items...)
	for i := range items {
		f.bytes += items[i].size()
	}
}

// markDead counts a record that is no longer pending. It removes such records once half of the
// records are dead.
func (f *fifo) markDead(pending func(*item) bool) {
	if f.dead++; f.dead < 64 || f.dead < len(f.items)/2 {
		return
	}
	f.items = slices.DeleteFunc(f.items, func(it item) bool {
		if pending(&it) {
			return false
		}
		f.bytes -= it.size()
		return true
	})
	f.dead = 0
}

// onBus returns the number of messages that the bus holds for the destination, and their
// approximate size.
func (l *queue) onBus() (messages, bytes int) {
	mean := headerBytes * 2
	if l.held > 0 {
		mean = l.heldBytes / l.held
	}
	return max(l.held+l.correction, 0), max(l.heldBytes+l.correction*mean, 0)
}

// The backoff of a refused destination doubles from minBackoff to longBackoff. If the refusals
// continue, the limit grows to maxBackoff within a quarter of an hour.
const (
	minBackoff  = 20 * time.Millisecond
	longBackoff = 2 * time.Second
	maxBackoff  = 30 * time.Second
)

// refused notes that the bus refused a record of the destination, and starts or extends the
// backoff.
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

// lane holds the queues of one stream. Streams are published to independently, so a stream that
// does not respond delays no other.
type lane struct {
	stream transport.Stream
	wake   chan struct{} // capacity 1

	// Guarded by Relay.mu.
	ring   []*queue // queues that are not idle
	at     int      // index at which the next round begins
	relist bool     // whether to ask the ledger which destinations have pending records
	asking bool     // whether the ledger is being asked that

	// Only the goroutine that steps the lane uses the following fields.
	batch     []item
	envelopes []transport.Envelope
	touched   []*queue
	trimAt    time.Time // when to count announcements next
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
			one.active, one.deficit, one.recovering = false, 0, false
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
