package natsbus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
)

// Bounds of the way to the dead letters: no delivery is held, whatever fails (I10).
const (
	// letterTries and letterTime bound how often, and for how long, a message is tried to
	// be moved to the dead letters since it was delivered; then it is terminated. Earlier
	// deliveries count as tries.
	letterTries = 3
	letterTime  = 15 * time.Second
	letterTry   = 6 * time.Second // one try; longer than Config.PublishTimeout's default

	// maxLetters and maxLetterBytes bound the messages that wait to be moved. Of what is
	// left one participant takes half at most.
	maxLetters     = 1024
	maxLetterBytes = 64 << 20
	letterBatch    = 128 // moved at once

	// LetterRate and LetterBurst bound the dead letters of one participant, by the second
	// and at once. What is more is terminated and counted.
	LetterRate  = 100
	LetterBurst = 1000
	maxBuckets  = 1024 // participants that are told apart
)

// letterPause is the time between two tries.
var letterPause = 1500 * time.Millisecond

// deadQueue moves letters to the dead-letter stream, and ends their deliveries. Its
// goroutine is run.
type deadQueue struct {
	bus  *Bus
	work chan struct{} // capacity 1: something came, or the end

	mu      sync.Mutex
	waiting []*deadEntry // in the order in which they came
	shares  map[string]int
	bytes   int
	buckets map[string]bucket
	closed  bool
}

func newDeadQueue(b *Bus) *deadQueue {
	return &deadQueue{bus: b, work: make(chan struct{}, 1), shares: map[string]int{}, buckets: map[string]bucket{}}
}

// bucket is what is left of a participant's LetterBurst.
type bucket struct {
	level float64
	at    time.Time
}

// put takes a letter over. What is too much is terminated at once. It never blocks.
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
		q.drop(l, "its participant has had as many dead letters as it may", nil)
	case !room:
		q.bus.stats.deadUnstored.Add(1)
		q.drop(l, "too many messages wait to be moved there", nil)
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

// spend takes one from a participant's bucket, if there is one. Called with the lock held.
func (q *deadQueue) spend(participant string, now time.Time) bool {
	b, known := q.buckets[participant]
	if !known && len(q.buckets) >= maxBuckets {
		for name, b := range q.buckets {
			if b.refill(now).level >= LetterBurst { // as if it had never been there
				delete(q.buckets, name)
			}
		}
	}
	if !known && len(q.buckets) >= maxBuckets {
		participant = transport.UnknownParticipant // one bucket for those beyond the bound
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

// drop terminates a delivery that is not kept, and says what it was.
func (q *deadQueue) drop(l *deadEntry, why string, err error) {
	attrs := []any{"stream", string(l.stream()), "participant", l.participant(), "subject", cut(l.msg.Subject),
		"reason", l.reason, "why", why}
	if q.bus.config.HideData {
		attrs = append(attrs, "bytes", len(l.msg.Data))
	} else {
		attrs = append(attrs, "data", excerpt(l.msg.Data))
	}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	q.bus.config.Logger.Warn("a message was dropped and is in no dead letter", attrs...)
	l.delivery.end(term)
}

// run moves what comes until ctx ends.
func (q *deadQueue) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		batch, next := q.take(time.Now())
		if len(batch) > 0 {
			if q.move(ctx, batch) != nil {
				return // they are still due
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

// take returns letters that are due, or when the next one is; they stay in the queue.
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

// move tries to store a batch and ends what is stored, or is not tried any more. It returns
// the error of ctx if that has ended meanwhile; then the batch stays as it was.
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
		return err // closing: what is not stored comes again
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

// ended ends a letter after a try, or plans the next.
func (q *deadQueue) ended(l *deadEntry, err error) bool {
	now := time.Now()
	l.tries--
	l.due = now.Add(letterPause)
	again := l.tries > 0 && l.due.Before(l.deadline) && !forGood(err)
	switch {
	case err == nil:
		q.bus.stats.deadLettered.Add(1)
		q.bus.config.Logger.Warn("a message was moved to the dead letters", "stream", string(l.stream()), "participant", l.participant(),
			"subject", cut(l.msg.Subject), "reason", l.reason)
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

// close takes nothing more, and waits until what is there is moved, or until ctx ends.
// What is not moved is unanswered and comes again.
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

// storeLetters publishes letters and returns one error, or nil, each. Unlike Publish it
// draws no conclusions about the connection: one that may not write dead letters is never
// answered, and is not lost.
func (b *Bus) storeLetters(ctx context.Context, letters []*deadEntry) []error {
	futures := make([]jetstream.PubAckFuture, len(letters))
	errs := make([]error, len(letters))
	asks := b.config.Provision == Create // others have no right to
	bytes := 0
	for i, l := range letters {
		m := b.deadLetter(ctx, l, &asks)
		bytes += m.Size()
		crashpoint.Here(crashpoint.BeforeDeadLetter)
		futures[i], errs[i] = b.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0), jetstream.WithStallWait(b.config.PublishTimeout))
	}
	missing := false
	for i, future := range futures {
		if errs[i] != nil {
			continue
		}
		select {
		case ack := <-future.Ok():
			b.accepted(future.Msg().Subject, ack)
		case errs[i] = <-future.Err():
			missing = missing || errors.Is(errs[i], jetstream.ErrNoStreamResponse) || errors.Is(errs[i], nats.ErrNoResponders)
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	if missing && b.config.Provision != Ask {
		_ = b.look(ctx) // makes it again, for the next try
	}
	b.rings.stored(ctx, bytes)
	return errs
}

// forGood reports whether an error of a publish will be the same next time.
func forGood(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadHeaderMsg) || errors.Is(err, nats.ErrBadSubject) ||
		errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum
}
