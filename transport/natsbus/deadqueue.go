package natsbus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
)

// Limits on dead-lettering. They ensure that no delivery is in flight for ever, whatever fails
// (I10).
const (
	// letterTries and letterTime limit the tries to dead-letter a message, in number and in time
	// since its delivery. After that the message is terminated. Earlier deliveries count as tries.
	letterTries = 3
	letterTime  = 15 * time.Second
	letterTry   = 6 * time.Second // timeout of one try; longer than Config.PublishTimeout's default

	// maxLetters and maxLetterBytes bound the waiting entries. One participant may use half of the
	// capacity that other participants leave free.
	maxLetters     = 1024
	maxLetterBytes = 64 << 20
	letterBatch    = 128 // entries per batch

	// LetterRate is the number of dead letters per second that one participant may cause;
	// LetterBurst is the number at once. Further messages are terminated and counted.
	LetterRate  = 100
	LetterBurst = 1000
	maxBuckets  = 1024 // maximum number of participants with their own bucket
)

// letterPause is the time between two tries.
var letterPause = 1500 * time.Millisecond

// deadQueue moves entries to the dead-letter stream, and then acknowledges their deliveries. It has
// one goroutine, which calls run.
type deadQueue struct {
	bus  *Bus
	work chan struct{} // capacity 1; signals a new entry

	mu      sync.Mutex
	waiting []*deadEntry // in order of arrival
	shares  map[string]int
	bytes   int
	buckets map[string]bucket
	closed  bool
}

func newDeadQueue(b *Bus) *deadQueue {
	return &deadQueue{bus: b, work: make(chan struct{}, 1), shares: map[string]int{}, buckets: map[string]bucket{}}
}

// bucket is a participant's token bucket for dead letters, with LetterBurst as its capacity.
type bucket struct {
	level float64
	at    time.Time
}

// put adds an entry to the queue. If there are too many entries, or the participant has exceeded
// its rate, it terminates the entry's delivery at once. It never blocks.
func (q *deadQueue) put(l *deadEntry) error {
	now := time.Now()
	l.tries = max(letterTries+1-max(l.delivery.delivered, 1), 1)
	l.due, l.deadline = now, l.delivery.arrived.Add(letterTime)
	participant := l.participant()
	q.mu.Lock()
	closed, spent := q.closed, false
	room := !closed
	if room {
		spent = !q.spend(participant, now)
		free := min(maxLetters-len(q.waiting), (maxLetterBytes-q.bytes)/l.size())
		room = !spent && free > 0 && q.shares[participant] <= free
	}
	if room {
		q.waiting = append(q.waiting, l)
		q.shares[participant]++
		q.bytes += l.size()
	}
	q.mu.Unlock()
	switch {
	case closed:
		return transport.ErrClosed
	case spent:
		q.bus.stats.deadOverRate.Add(1)
		q.drop(l, "the participant has exceeded its rate of dead letters", nil)
	case !room:
		q.bus.stats.deadUnstored.Add(1)
		q.drop(l, "too many messages are waiting to be dead-lettered", nil)
	default:
		q.signal()
	}
	return nil
}

func (q *deadQueue) signal() {
	select {
	case q.work <- struct{}{}:
	default:
	}
}

// spend takes one token from a participant's bucket, and reports whether the bucket had one. The
// caller holds the lock.
func (q *deadQueue) spend(participant string, now time.Time) bool {
	b, known := q.buckets[participant]
	if !known && len(q.buckets) >= maxBuckets {
		for name, b := range q.buckets {
			if b.refill(now).level >= LetterBurst { // a full bucket can be forgotten
				delete(q.buckets, name)
			}
		}
	}
	if !known && len(q.buckets) >= maxBuckets {
		participant = transport.UnknownParticipant // participants above the limit share one bucket
		b, known = q.buckets[participant]
	}
	if !known {
		b = bucket{LetterBurst, now}
	}
	b = b.refill(now)
	enough := b.level >= 1
	if enough {
		b.level--
	}
	q.buckets[participant] = b
	return enough
}

func (b bucket) refill(now time.Time) bucket {
	b.level = min(b.level+now.Sub(b.at).Seconds()*LetterRate, LetterBurst)
	b.at = now
	return b
}

// drop terminates and logs a delivery that is not dead-lettered.
func (q *deadQueue) drop(l *deadEntry, why string, err error) {
	attrs := []any{"stream", string(l.stream()), "participant", l.participant(), "subject", contract.Cut(l.msg.Subject, maxQuoted),
		"reason", l.reason, "why", why}
	if q.bus.config.HideData {
		attrs = append(attrs, "bytes", len(l.msg.Data))
	} else {
		attrs = append(attrs, "data", excerpt(l.msg.Data))
	}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	q.bus.config.Logger.Warn("a message was dropped without a dead letter", attrs...)
	l.delivery.end(term)
}

// run stores queued entries until ctx ends.
func (q *deadQueue) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		batch, next := q.take(time.Now())
		if len(batch) > 0 {
			if q.move(ctx, batch) != nil {
				return // the entries remain due
			}
			continue
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-q.work:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// take returns a batch of the entries that are due. These entries stay in the queue. If no entry is
// due, take returns the time at which the next entry is due.
func (q *deadQueue) take(now time.Time) (batch []*deadEntry, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes, most := 0, q.bus.rings.batch()
	for _, l := range q.waiting {
		switch {
		case !l.due.After(now) && len(batch) < letterBatch && (len(batch) == 0 || bytes+l.size() <= most):
			batch = append(batch, l)
			bytes += l.size()
		case next.IsZero() || l.due.Before(next):
			next = l.due
		}
	}
	return batch, next
}

// move tries to store a batch. It removes the entries that are stored or have no tries left. If ctx
// ends first, move returns the error of ctx and changes nothing.
func (q *deadQueue) move(ctx context.Context, batch []*deadEntry) error {
	now := time.Now()
	end := now.Add(letterTry)
	for _, l := range batch {
		if l.deadline.Before(end) {
			end = l.deadline
		}
	}
	if least := now.Add(time.Second); end.Before(least) {
		end = least
	}
	try, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	errs := q.bus.storeLetters(try, batch)
	if err := ctx.Err(); err != nil {
		return err // closing; the server redelivers the messages that are not stored
	}
	var done []*deadEntry
	for i, l := range batch {
		if q.ended(l, errs[i]) {
			done = append(done, l)
		}
	}
	q.remove(done)
	return nil
}

// ended handles the result of a try. It reports whether the entry is finished; otherwise it has
// scheduled the next try.
func (q *deadQueue) ended(l *deadEntry, err error) bool {
	now := time.Now()
	l.tries--
	l.due = now.Add(letterPause)
	again := l.tries > 0 && l.due.Before(l.deadline) && !forGood(err)
	switch {
	case err == nil:
		q.bus.stats.deadLettered.Add(1)
		q.bus.config.Logger.Warn("a message was moved to the dead letters", "stream", string(l.stream()), "participant", l.participant(),
			"subject", contract.Cut(l.msg.Subject, maxQuoted), "reason", l.reason)
		crashpoint.Here(crashpoint.DeadLetterStored)
		l.delivery.end(l.word)
	case again:
		q.bus.stats.deadFailed.Add(1)
		l.delivery.source.inProgress(l.delivery.msg)
		return false
	default:
		q.bus.stats.deadFailed.Add(1)
		q.bus.stats.deadUnstored.Add(1)
		q.drop(l, "it could not be stored", err)
	}
	return true
}

func (q *deadQueue) remove(done []*deadEntry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := make(map[*deadEntry]bool, len(done))
	for _, l := range done {
		gone[l] = true
		q.bytes -= l.size()
		participant := l.participant()
		if q.shares[participant]--; q.shares[participant] == 0 {
			delete(q.shares, participant)
		}
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(l *deadEntry) bool { return gone[l] })
}

// close refuses new entries and waits until the queue is empty or ctx ends. The deliveries of the
// remaining entries are not acknowledged, so the server redelivers them.
func (q *deadQueue) close(ctx context.Context) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	for {
		q.mu.Lock()
		left := len(q.waiting)
		q.mu.Unlock()
		if left == 0 || pause(ctx, 5*time.Millisecond) != nil {
			return
		}
	}
}

// forGood reports whether a publish that failed with err would always fail.
func forGood(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadHeaderMsg) || errors.Is(err, nats.ErrBadSubject) ||
		errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum
}
