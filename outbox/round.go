package outbox

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/amends-dev/amends/transport"
)

func (r *Relay) step(ctx context.Context, lane *lane) (handed, refused int, err error) {
	if err := r.listDestinations(ctx, lane); err != nil {
		return 0, 0, err
	}
	if err := r.trim(ctx, lane); err != nil {
		return 0, 0, err
	}
	for {
		read, err := r.readLedger(ctx, lane)
		if err != nil {
			return 0, 0, err
		}
		if batch, epoch := r.next(lane); len(batch) > 0 {
			refused := r.send(ctx, lane, batch, epoch)
			clear(batch) // free the memory of the sent records
			return len(batch), refused, nil
		}
		if !read {
			return 0, 0, nil
		}
	}
}

// listDestinations asks the ledger which destinations have pending records. That is necessary after
// a start and when the bus may have lost data.
func (r *Relay) listDestinations(ctx context.Context, lane *lane) error {
	r.mu.Lock()
	due := lane.relist
	lane.relist, lane.asking = false, due
	r.mu.Unlock()
	if !due {
		return nil
	}
	counts, err := r.ledger.Destinations(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	lane.asking = false
	for _, to := range sorted(counts) {
		if r.lanes[laneOf(to)] == lane {
			l := r.queueOf(to)
			l.rescan, l.recovering = true, l.to != Lifecycle
			r.activate(l)
		}
	}
	return nil
}

func sorted(counts map[Destination]int) []Destination {
	list := make([]Destination, 0, len(counts))
	for to := range counts {
		list = append(list, to)
	}
	slices.Sort(list) // simulations need a deterministic order
	return list
}

// readLedger refills the queues of a lane from the ledger where necessary. It reports whether it
// read anything.
func (r *Relay) readLedger(ctx context.Context, lane *lane) (read bool, err error) {
	for {
		l, after := r.nextUnread(lane)
		if l == nil {
			return read, nil
		}
		if err := r.refill(ctx, l, after); err != nil {
			return read, err
		}
		read = true
	}
}

// nextUnread returns a queue that must be refilled from the ledger, and the position to start
// after.
func (r *Relay) nextUnread(lane *lane) (*queue, Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.options.Now()
	for _, l := range lane.ring {
		if len(l.readInto().items) > 0 || l.backingOff(now) {
			continue
		}
		if l.rescan && !l.reading {
			l.rescan, l.reading, l.cursor = false, true, Position{}
		}
		if l.reading {
			return l, l.cursor
		}
	}
	return nil, Position{}
}

// refill reads the pending records of one destination, starting where the last read stopped, until
// the memory limit is reached. It skips records that are already in memory or on the bus.
func (r *Relay) refill(ctx context.Context, l *queue, after Position) error {
	now, bytes, full := r.options.Now(), 0, false
	var found []item
	r.mu.Lock()
	most, records, recovered := r.memoryShare(), r.options.Backlog, l.recovering
	if recovered {
		most, records = ownBytes, r.recoveredBacklog() // new commands use the rest
	}
	if l.to != Lifecycle {
		r.reading = true
	}
	r.mu.Unlock()
	err := r.ledger.Pending(ctx, l.to, after, func(at Position, record Record) bool {
		after = at
		if r.knows(record.ID) {
			return true
		}
		found = append(found, item{Record: record, since: now, sent: true, recovered: recovered})
		bytes += record.size()
		full = len(found) >= records || bytes >= most
		return !full
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.to != Lifecycle {
		r.reading = false
		maps.DeleteFunc(r.refused, func(_ ID, discarded bool) bool { return discarded })
	}
	if err != nil {
		return err
	}
	l.reading, l.cursor = full, after
	for _, it := range found {
		if _, there := r.known[it.ID]; there {
			continue // pushed since it was read
		}
		r.enter(l, it)
	}
	l.endRecovery()
	return nil
}

func (r *Relay) knows(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, there := r.known[id]
	_, refused := r.refused[id]
	return there || refused
}

// quantum is the number of bytes that a destination may send per turn.
const quantum = 64 << 10

// next takes up to a window of records from the destinations in turn. A turn is measured in bytes,
// so a destination with a long queue delays the others by at most one quantum (deficit round robin,
// Shreedhar and Varghese, 1995).
func (r *Relay) next(lane *lane) (batch []item, epoch int) {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	lane.dropIdle()
	batch = lane.batch[:0]
	bytes := 0
	for anyLeft := true; anyLeft; {
		anyLeft = false
		for range lane.ring {
			l := lane.ring[lane.at%len(lane.ring)]
			lane.at = (lane.at + 1) % len(lane.ring)
			if l.backingOff(now) {
				continue
			}
			var more bool
			batch, bytes, more = r.take(l, batch, bytes)
			anyLeft = anyLeft || more
			if len(batch) >= r.options.Window || bytes >= r.options.WindowBytes {
				anyLeft = false
				break
			}
		}
	}
	lane.batch = batch[:0]
	r.sending += len(batch)
	return batch, r.epoch
}

// take appends to a batch the records that one destination may send now. It reports whether the
// quantum was the only reason not to append more. After a refusal, a destination sends a single
// record.
func (r *Relay) take(l *queue, batch []item, bytes int) ([]item, int, bool) {
	l.deficit += quantum
	l.full, l.paced = false, false
	for taken := 0; ; {
		line := r.turn(l)
		if line == nil {
			break
		}
		it := &line.items[0]
		e := r.known[it.ID]
		switch {
		case l.backoff > 0 && taken > 0, len(batch) >= r.options.Window, bytes >= r.options.WindowBytes:
			return batch, bytes, false
		case e.bytes > l.deficit:
			return batch, bytes, true
		case !r.mayHold(l, e.bytes):
			l.full, l.deficit = true, 0
			return batch, bytes, false
		}
		e.state = sending
		r.known[it.ID] = e
		r.addHeld(&e, 1)
		l.deficit -= e.bytes
		l.recoveredNext = !e.recovered
		bytes += e.bytes
		batch = append(batch, *it)
		line.pop(r.options.Window)
		r.count(l, -1, e.recovered)
		taken++
	}
	l.deficit = 0
	l.endRecovery()
	return batch, bytes, false
}

// turn returns the part of a queue whose first record is to be sent next, or nil if the queue may
// send none. Recovered and fresh records take turns. The caller holds r.mu.
func (r *Relay) turn(l *queue) *fifo {
	for _, line := range []*fifo{&l.recovered, &l.fresh} {
		for len(line.items) > 0 && !r.isWaiting(&line.items[0]) {
			line.pop(r.options.Window)
			line.dead--
		}
	}
	recovered, fresh := len(l.recovered.items) > 0, len(l.fresh.items) > 0
	if recovered && l.heldRecovered >= r.options.Recovered {
		recovered, l.paced = false, !fresh
	}
	switch {
	case recovered && (l.recoveredNext || !fresh):
		return &l.recovered
	case fresh:
		return &l.fresh
	}
	return nil
}

// mayHold reports whether the bus may hold the given number of additional bytes for a destination.
// The limits are Credit, CreditBytes, and as many bytes as the stream has free. So one unavailable
// participant can fill half of the stream, two can fill a third each, and there is always space for
// a further participant. The caller holds r.mu.
func (r *Relay) mayHold(l *queue, bytes int) bool {
	if l.to == Lifecycle {
		return true
	}
	messages, held := l.onBus()
	if messages == 0 {
		return true
	}
	if messages >= r.options.Credit || held+bytes > r.options.CreditBytes {
		return false
	}
	return r.room == 0 || int64(held+bytes) <= r.room-r.used
}

// send publishes a batch and discards the announcements that the bus accepted. It returns the
// number of records that the bus refused for now, which go back to the front of their queues.
func (r *Relay) send(ctx context.Context, lane *lane, batch []item, epoch int) (back int) {
	envelopes := slices.Grow(lane.envelopes[:0], len(batch))
	for i := range batch {
		envelopes = append(envelopes, batch[i].Envelope)
	}
	errs := r.publisher.Publish(ctx, envelopes)
	clear(envelopes)
	lane.envelopes = envelopes[:0]
	if errs == nil {
		errs = make([]error, len(batch))
	}
	refused, accepted := 0, []ID(nil)
	for i := range batch {
		it := &batch[i]
		switch err := errs[i]; {
		case err == nil:
			if !it.Answered() {
				accepted = append(accepted, it.ID)
			}
		case errors.Is(err, transport.ErrRefusedForGood) && it.Answered():
			refused++
			// A missing permission concerns the whole subject and may be recent, so this record may
			// have been sent earlier.
			r.options.OnRefused(it.Record, it.sent || r.options.Shared || errors.Is(err, transport.ErrNotPermitted), err)
		case dropped(it, err):
			refused++
			accepted = append(accepted, it.ID)
			r.options.OnDropped(1, err)
		default:
			refused++
			back++
			it.sent = it.sent || !errors.Is(err, transport.ErrRefused)
		}
	}
	r.options.OnPublish(len(batch)-refused, refused)
	if len(accepted) > 0 {
		// Best effort: if discarding fails, the announcements are sent again after the next start.
		_ = r.ledger.Discard(ctx, accepted)
	}
	r.applyResults(lane, batch, errs, epoch)
	return back
}

// dropped reports whether an announcement is dropped because the bus will never accept it. If only
// a permission is missing, the announcement is kept, because an operator can grant the permission.
func dropped(it *item, err error) bool {
	return !it.Answered() && errors.Is(err, transport.ErrRefusedForGood) && !errors.Is(err, transport.ErrNotPermitted)
}

// applyResults records which messages the bus accepted and which it refused.
func (r *Relay) applyResults(lane *lane, batch []item, errs []error, epoch int) {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sending -= len(batch)
	lane.touched = lane.touched[:0]
	for i := range batch {
		it, err := &batch[i], errs[i]
		l := r.queueOf(it.To)
		if !l.anyAccepted && l.failed == nil {
			lane.touched = append(lane.touched, l)
		}
		switch {
		case err == nil, dropped(it, err), it.Answered() && errors.Is(err, transport.ErrRefusedForGood):
			switch {
			case err == nil && it.Answered():
				r.acceptedAt = now
			case err != nil && it.Answered() && r.known[it.ID].state == sending:
				r.refused[it.ID] = false
			}
			r.finish(it, err == nil && epoch == r.epoch, now)
			if l.anyAccepted = l.anyAccepted || !errors.Is(err, transport.ErrNotPermitted); !l.anyAccepted {
				l.failed = err // final for this record, but not for the records after it
			}
		default:
			l.failed = err
			if r.requeue(it) {
				l.again = append(l.again, *it)
			}
		}
	}
	for _, l := range lane.touched {
		if l.anyAccepted {
			l.accepted()
		}
		if l.failed != nil {
			l.refused(now, l.failed)
		}
		if len(l.again) > 0 {
			r.putBack(l)
		}
		l.again, l.failed, l.anyAccepted = nil, nil, false
	}
	clear(lane.touched)
}

// finish notes that the bus has accepted a record or refused it for good. The parameter there
// reports whether the bus now holds the record. The caller holds r.mu.
func (r *Relay) finish(it *item, there bool, now time.Time) {
	e := r.known[it.ID]
	if !there || !it.Answered() || e.state == answered {
		r.release(it.ID, e)
		return
	}
	e.state = onBus
	if expires := it.Envelope.Expires; !expires.IsZero() {
		if e.until = now.Add(transport.MinLife); e.until.Before(expires) {
			e.until = expires
		}
	}
	r.known[it.ID] = e
}

// putBack returns the refused records of a batch to the front of their queue. The caller holds r.mu.
func (r *Relay) putBack(l *queue) {
	for _, recovered := range []bool{false, true} {
		var items []item
		for i := range l.again {
			if l.again[i].recovered == recovered {
				items = append(items, l.again[i])
			}
		}
		l.line(recovered).prepend(items)
		r.count(l, len(items), recovered)
	}
	l.recovering = l.recovering || l.recovered.waiting() > 0
	r.activate(l)
}

// requeue notes that the bus has not accepted a record, and reports whether the record is still
// pending. The caller holds r.mu.
func (r *Relay) requeue(it *item) bool {
	e := r.known[it.ID]
	if e.state != sending {
		r.release(it.ID, e)
		return false
	}
	r.addHeld(&e, -1)
	e.state = waiting
	r.known[it.ID] = e
	return true
}

// sweepEvery is the interval at which entries of expired messages are removed.
const sweepEvery = 10 * time.Second

// sweep removes the entries of messages that have expired on the bus. It does so every sweepEvery,
// and more often while a destination has used up its share. The caller holds r.mu.
func (r *Relay) sweep(now time.Time) {
	if now.Before(r.sweepAt) && r.sweepAt.Sub(now) <= sweepEvery {
		return
	}
	r.sweepAt = now.Add(sweepEvery)
	pace := creditPause * time.Duration(1+len(r.known)/50_000) // rarer for a large map: a sweep holds the lock
	for id, e := range r.known {
		if e.state == onBus && !e.until.IsZero() && !now.Before(e.until) {
			r.release(id, e)
		}
		if e.queue.full && pace < sweepEvery {
			r.sweepAt = now.Add(pace)
		}
	}
}

// trimEvery is the interval at which waiting announcements are counted.
const trimEvery = 10 * time.Second

// trim drops the oldest announcements if too many are pending. That happens only if the bus has
// accepted none for a long time.
func (r *Relay) trim(ctx context.Context, lane *lane) error {
	now := r.options.Now()
	r.mu.Lock()
	l := r.queues[Lifecycle]
	due := lane.stream == transport.StreamLifecycle && l != nil && l.problem != nil && !now.Before(lane.trimAt)
	r.mu.Unlock()
	if !due {
		return nil
	}
	lane.trimAt = now.Add(trimEvery)
	counts, err := r.ledger.Destinations(ctx)
	if err != nil {
		return err
	}
	unswept := r.options.Announcements / 64 // recently discarded announcements may still be counted
	excess := counts[Lifecycle] - r.options.Announcements - unswept
	if excess <= 0 {
		return nil
	}
	var ids []ID
	err = r.ledger.Pending(ctx, Lifecycle, Position{}, func(_ Position, record Record) bool {
		ids = append(ids, record.ID)
		return len(ids) < excess
	})
	if err != nil {
		return err
	}
	if err := r.ledger.Discard(ctx, ids); err != nil {
		return err
	}
	r.Drop(ids)
	r.options.OnDropped(len(ids), errTooMany)
	return nil
}

// errTooMany is reported when more announcements wait than Options.Announcements.
var errTooMany = errors.New("too many announcements are waiting; the oldest are dropped")
