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
	if err := r.list(ctx, lane); err != nil {
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
			clear(batch) // let go of what is sent
			return len(batch), refused, nil
		}
		if !read {
			return 0, 0, nil
		}
	}
}

// list asks the ledger for which destinations something is pending, after a start and when the
// bus may have forgotten.
func (r *Relay) list(ctx context.Context, lane *lane) error {
	r.mu.Lock()
	due := lane.unlisted
	lane.unlisted = false
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
	for _, to := range sorted(counts) {
		if r.lanes[laneOf(to)] == lane {
			l := r.lineOf(to)
			l.rescan = true
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
	slices.Sort(list) // a simulation depends on the order
	return list
}

// readLedger refills the lines of a lane that have worked off what they had in memory,
// and reports whether it has read for any.
func (r *Relay) readLedger(ctx context.Context, lane *lane) (read bool, err error) {
	for {
		l, after := r.unread(lane)
		if l == nil {
			return read, nil
		}
		if err := r.refill(ctx, l, after); err != nil {
			return read, err
		}
		read = true
	}
}

// unread is a line that the ledger is to be read for, and from where on.
func (r *Relay) unread(lane *lane) (*line, Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.options.Now()
	for _, l := range lane.ring {
		if len(l.queue) > 0 || l.waits(now) {
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

// refill reads what is pending for one destination: as much as fits into memory, from where it
// stopped the last time. What waits here already, or lies on the bus, is passed over.
func (r *Relay) refill(ctx context.Context, l *line, after Position) error {
	now, bytes, full := r.options.Now(), 0, false
	var found []item
	r.mu.Lock()
	most := r.mayKeep()
	if l.to != Lifecycle {
		r.reading = true
	}
	r.mu.Unlock()
	err := r.ledger.Pending(ctx, l.to, after, func(at Position, record Record) bool {
		after = at
		if r.knows(record.ID) {
			return true
		}
		found = append(found, item{Record: record, since: now, sent: true})
		bytes += record.size()
		full = len(found) >= r.options.Backlog || bytes >= most
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
		l.push(it, r.options.Window)
		r.count(l, 1)
		r.known[it.ID] = entry{line: l, bytes: it.size(), state: waiting, pending: true}
		l.pending++
	}
	return nil
}

func (r *Relay) knows(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, there := r.known[id]
	_, refused := r.refused[id]
	return there || refused
}

// quantum is how many bytes a destination may send before it is the next one's turn.
const quantum = 64 << 10

// next takes up to a window of records: from the destinations in turn, by bytes, so that
// one with much to send delays the others by a quantum (deficit round robin: Shreedhar
// and Varghese, 1995).
func (r *Relay) next(lane *lane) (batch []item, epoch int) {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	lane.tidy()
	batch = lane.batch[:0]
	bytes := 0
	for hungry := true; hungry; {
		hungry = false
		for range lane.ring {
			l := lane.ring[lane.at%len(lane.ring)]
			lane.at = (lane.at + 1) % len(lane.ring)
			if l.waits(now) {
				continue
			}
			var more bool
			batch, bytes, more = r.take(l, batch, bytes)
			hungry = hungry || more
			if len(batch) >= r.options.Window || bytes >= r.options.WindowBytes {
				hungry = false
				break
			}
		}
	}
	lane.batch = batch[:0]
	r.sending += len(batch)
	return batch, r.epoch
}

// take lets one destination add to a batch what it may, and reports whether it has more
// that only its turn keeps back. One that was refused tries a single record.
func (r *Relay) take(l *line, batch []item, bytes int) ([]item, int, bool) {
	l.deficit += quantum
	l.full = false
	for taken := 0; len(l.queue) > 0; {
		it := &l.queue[0]
		if !r.waits(it.ID) {
			l.pop(r.options.Window)
			l.dead--
			continue
		}
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
		r.hold(l, 1, e.bytes)
		l.deficit -= e.bytes
		bytes += e.bytes
		batch = append(batch, *it)
		l.pop(r.options.Window)
		r.count(l, -1)
		taken++
	}
	l.deficit = 0
	return batch, bytes, false
}

// mayHold reports whether the bus may get so many bytes more for a destination: within
// the fixed bounds, and at most as much as is still free in the stream. So one that is
// away gets half of the stream, two get a third each, and one that comes later always
// gets in. Called with the lock held.
func (r *Relay) mayHold(l *line, bytes int) bool {
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

// send publishes a batch, discards the announcements the bus has accepted, and
// puts back to the front what it refused for now: so many does it return.
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
			// What is said of a subject is not certain of this record.
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
		// Best effort: what is not discarded is sent once more after the next start.
		_ = r.ledger.Discard(ctx, accepted)
	}
	r.learn(lane, batch, errs, epoch)
	return back
}

// dropped reports whether an announcement is given up: the bus will never take it. One that
// is not permitted waits for an operator.
func dropped(it *item, err error) bool {
	return !it.Answered() && errors.Is(err, transport.ErrRefusedForGood) && !errors.Is(err, transport.ErrNotPermitted)
}

// learn takes note of what the bus has accepted and refused.
func (r *Relay) learn(lane *lane, batch []item, errs []error, epoch int) {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sending -= len(batch)
	lane.touched = lane.touched[:0]
	for i := range batch {
		it, err := &batch[i], errs[i]
		l := r.lineOf(it.To)
		if !l.took && l.failed == nil {
			lane.touched = append(lane.touched, l)
		}
		switch {
		case err == nil, dropped(it, err), it.Answered() && errors.Is(err, transport.ErrRefusedForGood):
			switch {
			case err == nil && it.Answered():
				r.took = now
			case err != nil && it.Answered() && r.known[it.ID].state == sending:
				r.refused[it.ID] = false
			}
			r.taken(it, err == nil && epoch == r.epoch, now)
			if l.took = l.took || !errors.Is(err, transport.ErrNotPermitted); !l.took {
				l.failed = err // for this one that is the end, for those behind it it is not
			}
		default:
			l.failed = err
			if r.back(it) {
				l.again = append(l.again, *it)
			}
		}
	}
	for _, l := range lane.touched {
		if l.took {
			l.accepted()
		}
		if l.failed != nil {
			l.refused(now, l.failed)
		}
		if len(l.again) > 0 {
			l.prepend(l.again)
			r.activate(l)
			r.count(l, len(l.again))
		}
		l.again, l.failed, l.took = nil, nil, false
	}
	clear(lane.touched)
}

// taken notes that the bus has dealt with a record. there: it holds it now. Called with
// the lock held.
func (r *Relay) taken(it *item, there bool, now time.Time) {
	e := r.known[it.ID]
	if !there || !it.Answered() || e.state == answered {
		r.letGo(it.ID, e)
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

// back notes that the bus has not taken a record, and reports whether it is still pending.
// Called with the lock held.
func (r *Relay) back(it *item) bool {
	e := r.known[it.ID]
	if e.state != sending {
		r.letGo(it.ID, e)
		return false
	}
	r.hold(e.line, -1, -e.bytes)
	e.state = waiting
	r.known[it.ID] = e
	return true
}

// sweepEvery is how often messages that have expired are looked for on the bus's behalf.
const sweepEvery = 10 * time.Second

// sweep lets go of what has expired on the bus: every sweepEvery, and more often when a
// destination waits for it. Called with the lock held.
func (r *Relay) sweep(now time.Time) {
	if now.Before(r.sweepAt) && r.sweepAt.Sub(now) <= sweepEvery {
		return
	}
	r.sweepAt = now.Add(sweepEvery)
	pace := creditPause * time.Duration(1+len(r.known)/50_000) // it holds up everybody
	for id, e := range r.known {
		if e.state == onBus && !e.until.IsZero() && !now.Before(e.until) {
			r.letGo(id, e)
		}
		if e.line.full && pace < sweepEvery {
			r.sweepAt = now.Add(pace)
		}
	}
}

// trimEvery is how often announcements that wait are counted.
const trimEvery = 10 * time.Second

// trim drops the oldest announcements when too many are pending, which they are only after
// the bus has not taken any for a long time.
func (r *Relay) trim(ctx context.Context, lane *lane) error {
	now := r.options.Now()
	r.mu.Lock()
	l := r.lines[Lifecycle]
	due := lane.stream == transport.Lifecycle && l != nil && l.problem != nil && !now.Before(lane.trimAt)
	r.mu.Unlock()
	if !due {
		return nil
	}
	lane.trimAt = now.Add(trimEvery)
	counts, err := r.ledger.Destinations(ctx)
	if err != nil {
		return err
	}
	unswept := r.options.Announcements / 64 // what was discarded a moment ago may still be counted
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

// errTooMany: more announcements wait than Options.Announcements.
var errTooMany = errors.New("more announcements wait than may; the oldest are dropped")
