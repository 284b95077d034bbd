package outbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
)

// Publisher is the part of the bus that the Relay needs.
//
// Publish is transport.Bus's. The batch is the Relay's again when it returns.
type Publisher interface {
	Publish(ctx context.Context, batch []transport.Envelope) []error
}

// Ledger is the part of the store that the Relay needs.
type Ledger interface {
	Owed(ctx context.Context, after Place, yield func(Place, Record) bool) error
	Settle(ctx context.Context, ids []ID) error
}

// Options of a Relay. The zero value is usable.
type Options struct {
	// Window bounds the envelopes handed to the bus at once. 0: 512.
	Window int
	// Backlog bounds the records held in memory. Beyond it pushed records are
	// dropped from memory (not from the ledger) and read back when the backlog is
	// worked off. 0: 65,536.
	Backlog int
	// OnPublish is told about every batch: how many the bus accepted and refused.
	OnPublish func(accepted, refused int)
	// OnRefused is told about a record that the bus will never take
	// (transport.ErrTooLarge). It stays owed in the ledger until it is settled or
	// superseded, and is not sent again before the next Resend.
	OnRefused func(Record, error)
	// Now is the clock for Stats. nil: time.Now.
	Now func() time.Time
}

// Relay sends what is owed: at once when it is pushed after its commit, again
// from the ledger after a start and whenever the bus may have forgotten
// (Resend). Records are sent in the order in which they were pushed; one that the
// bus refuses for the moment goes back to the front, overtaken by the others of
// its batch.
//
// New wires it; Run owns the only goroutine. Push, Drop, Resend and Stats may be
// called from any goroutine.
type Relay struct {
	publisher Publisher
	ledger    Ledger
	options   Options

	mu      sync.Mutex
	queue   []item        // waiting, in order
	array   []item        // in which the queue began last
	waiting map[ID]bool   // of the records in queue: true, it was settled meanwhile
	sending map[ID]bool   // handed to the bus and not yet accepted: true, it was settled meanwhile
	rescan  bool          // the ledger is to be read, from its beginning
	reading bool          // the ledger is being read, in parts
	cursor  Place         // how far
	wake    chan struct{} // capacity 1

	batch     []item               // of the step that is done, used again
	envelopes []transport.Envelope // likewise
}

type item struct {
	Record
	since time.Time
}

// NewRelay makes a Relay; nothing happens before Run.
func NewRelay(publisher Publisher, ledger Ledger, options Options) *Relay {
	if options.Window == 0 {
		options.Window = 512
	}
	if options.Backlog == 0 {
		options.Backlog = 65_536
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Relay{
		publisher: publisher, ledger: ledger, options: options,
		waiting: map[ID]bool{}, sending: map[ID]bool{}, rescan: true, wake: make(chan struct{}, 1),
	}
}

// Push hands over records that were committed. It never blocks.
func (r *Relay) Push(records []Record) {
	if len(records) == 0 {
		return
	}
	now := r.options.Now()
	r.mu.Lock()
	for _, record := range records {
		if len(r.queue) >= r.options.Backlog {
			r.rescan = true
			break
		}
		if len(r.queue) == cap(r.queue) {
			r.array = slices.Grow(r.queue, max(len(r.queue), r.options.Window))
			r.queue = r.array
		}
		r.queue = append(r.queue, item{record, now})
		r.waiting[record.ID] = false
	}
	r.mu.Unlock()
	r.nudge()
}

// Drop says that records need not be sent any more, because a commit settled
// them.
func (r *Relay) Drop(ids []ID) {
	if len(ids) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if _, ok := r.waiting[id]; ok {
			r.waiting[id] = true
		}
		if _, ok := r.sending[id]; ok { // if the bus refuses it, it does not come back
			r.sending[id] = true
		}
	}
}

// Resend sends everything that is still owed once more: the bus may have
// forgotten what it had accepted.
func (r *Relay) Resend() {
	r.mu.Lock()
	r.rescan = true
	r.mu.Unlock()
	r.nudge()
}

// Stats says how far the relay is behind.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Stats{Backlog: len(r.queue), UnderWay: len(r.sending), Rescan: r.rescan || r.reading}
	if len(r.queue) > 0 {
		s.Oldest = r.options.Now().Sub(r.queue[0].since)
	}
	return s
}

// Busy reports whether something owed has not been accepted by the bus.
func (s Stats) Busy() bool { return s.Backlog > 0 || s.UnderWay > 0 || s.Rescan }

// Stats is how far a relay is behind.
type Stats struct {
	Backlog  int           // records in memory that wait to be sent
	UnderWay int           // records that were handed to the bus and not yet accepted
	Oldest   time.Duration // how long the first of them has waited
	Rescan   bool          // the ledger is about to be read again
}

func (r *Relay) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends. It returns an error only when the ledger fails.
func (r *Relay) Run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, 2*time.Second
	for {
		handed, refused, err := r.Step(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case handed == 0:
			select {
			case <-ctx.Done():
				return nil
			case <-r.wake:
			}
		case refused < handed:
			pause.Reset()
		default:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause.NextBackOff()):
			}
		}
	}
}

// Step is one round of Run, which waits between the rounds: it reads the ledger
// if that is due and hands a window of records to the bus. It returns how many
// those were and how many of them the bus refused for the moment, which wait at
// the front again. It is for callers without goroutines, such as a simulator,
// and must not be called while Run runs. An error is the ledger's.
func (r *Relay) Step(ctx context.Context) (handed, refused int, err error) {
	for {
		if err := r.readLedger(ctx); err != nil {
			return 0, 0, err
		}
		if batch := r.next(); len(batch) > 0 {
			refused := r.send(ctx, batch)
			clear(batch) // let go of what is sent
			return len(batch), refused, nil
		}
		if !r.unread() {
			return 0, 0, nil
		}
	}
}

// unread reports whether the ledger is to be read, or read on: asked for while it was
// being read, that begins when the reading has come to its end.
func (r *Relay) unread() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rescan || r.reading
}

// readLedger refills an empty queue from the ledger, when asked to: as much as
// fits, from where it stopped the last time. What was pushed meanwhile may be
// sent twice; the receivers can bear that. What of it does not fit behind what was
// read is forgotten, and found by the next reading.
func (r *Relay) readLedger(ctx context.Context) error {
	r.mu.Lock()
	if r.rescan && !r.reading {
		r.rescan, r.reading, r.cursor = false, true, Place{}
	}
	needed, after := r.reading && len(r.queue) == 0, r.cursor
	r.mu.Unlock()
	if !needed {
		return nil
	}
	now, full := r.options.Now(), false
	var found []item
	crashpoint.Here("outbox: before the ledger is read")
	err := r.ledger.Owed(ctx, after, func(place Place, record Record) bool {
		crashpoint.Here("outbox: in the ledger")
		found, after = append(found, item{record, now}), place
		full = len(found) >= r.options.Backlog
		return !full
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading, r.cursor = full, after
	if room := r.options.Backlog - len(found); len(r.queue) > room {
		for _, it := range r.queue[room:] {
			delete(r.waiting, it.ID)
		}
		r.queue, r.rescan = r.queue[:room], true
	}
	for _, it := range found {
		r.waiting[it.ID] = false
	}
	r.queue = append(found, r.queue...)
	return nil
}

// next takes up to a window of records from the queue, in order.
func (r *Relay) next() []item {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch := slices.Grow(r.batch[:0], min(len(r.queue), r.options.Window))
	taken := 0
	for _, it := range r.queue {
		if len(batch) == r.options.Window {
			break
		}
		taken++
		if !r.waiting[it.ID] {
			batch = append(batch, it)
			r.sending[it.ID] = false
		}
		delete(r.waiting, it.ID)
	}
	clear(r.queue[:taken])
	r.queue = r.queue[taken:]
	if len(r.queue) == 0 {
		r.rewind()
	}
	r.batch = batch[:0]
	return batch
}

// rewind goes back to the beginning of an empty queue's array, unless that has grown
// large in an outage.
func (r *Relay) rewind() {
	if cap(r.array) > 4*r.options.Window {
		r.array = nil
	}
	r.queue = r.array[:0]
}

// send publishes a batch, settles the announcements the bus has accepted, and
// puts back to the front what it refused: so many does it return.
func (r *Relay) send(ctx context.Context, batch []item) (back int) {
	envelopes := slices.Grow(r.envelopes[:0], len(batch))
	for i := range batch {
		envelopes = append(envelopes, batch[i].Envelope)
	}
	crashpoint.Here("outbox: before publish")
	errs := r.publisher.Publish(ctx, envelopes)
	clear(envelopes)
	r.envelopes = envelopes[:0]
	crashpoint.Here("outbox: after publish")
	var settled []ID
	var again []item
	refused := 0
	for i, it := range batch {
		var err error
		if errs != nil {
			err = errs[i]
		}
		switch {
		case err == nil:
			if !it.Answered {
				settled = append(settled, it.ID)
			}
		case errors.Is(err, transport.ErrTooLarge):
			refused++
			if r.options.OnRefused != nil {
				r.options.OnRefused(it.Record, err)
			}
		default:
			refused++
			again = append(again, it)
		}
	}
	if r.options.OnPublish != nil {
		r.options.OnPublish(len(batch)-refused, refused)
	}
	if len(settled) > 0 {
		// Best effort: what is not settled is sent once more after the next start.
		_ = r.ledger.Settle(ctx, settled)
		crashpoint.Here("outbox: after settle")
	}
	r.putBack(again)
	return len(again)
}

func (r *Relay) putBack(again []item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	again = slices.DeleteFunc(again, func(it item) bool { return r.sending[it.ID] })
	clear(r.sending)
	if len(again) == 0 {
		return
	}
	crashpoint.Here("outbox: before refused records are put back")
	for _, it := range again {
		r.waiting[it.ID] = false
	}
	r.queue = append(again, r.queue...)
}
