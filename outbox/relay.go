package outbox

import (
	"cmp"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/transport"
)

// Publisher is the part of the bus that the Relay needs.
//
// Publish has the contract of transport.Bus.Publish. It is called by one goroutine at a time for
// each stream, and must not keep the batch after it returns.
type Publisher interface {
	Publish(ctx context.Context, batch []transport.Envelope) []error
}

// Ledger is the part of the store that the Relay needs (see store.Store).
type Ledger interface {
	Pending(ctx context.Context, to Destination, after Position, yield func(Position, Record) bool) error
	Destinations(ctx context.Context) (map[Destination]int, error)
	Discard(ctx context.Context, ids []ID) error
}

// All calls yield with every pending record until yield returns false. The records are sorted by
// the destination's name, and within a destination in commit order.
func All(ctx context.Context, ledger Ledger, yield func(Position, Record) bool) error {
	counts, err := ledger.Destinations(ctx)
	if err != nil {
		return err
	}
	more := true
	for _, to := range sorted(counts) {
		err := ledger.Pending(ctx, to, Position{}, func(at Position, record Record) bool {
			more = yield(at, record)
			return more
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Options configures a Relay. The zero value is usable.
type Options struct {
	// Window bounds the envelopes in one call of Publish, and WindowBytes bounds their bytes. 0
	// means 512 envelopes and 8 MiB.
	Window, WindowBytes int
	// Backlog bounds the records of one destination in memory, and BacklogBytes bounds their bytes.
	// Further records stay in the ledger until the queue has drained. 0 means 16,384 records and
	// 16 MiB.
	Backlog, BacklogBytes int
	// MemoryBytes bounds the bytes of all records in memory. Each destination may always hold 1
	// MiB, and may hold more only while there is space below this bound. 0 means 256 MiB.
	MemoryBytes int
	// Credit bounds the unanswered commands of one participant on the bus, and CreditBytes bounds
	// their bytes. Further commands wait in the relay. They also wait while the participant's
	// messages take as many bytes as the stream has free. 0 means 20,000 commands and 64 MiB.
	Credit, CreditBytes int
	// Recovered bounds the unanswered commands of one participant on the bus that were pending at a
	// start or when the bus lost data. They take turns with new commands, so a new command never has
	// more than Recovered of them in front of it. 0 means 1,024.
	Recovered int
	// Announcements bounds the announcements that wait while the bus accepts none. If more wait, the
	// oldest are dropped. 0 means 262,144.
	Announcements int
	// Shared means that other processes send from the same ledger. A command that this process has
	// not sent may then have been sent by a different process.
	Shared bool
	// OnPublish is called after every batch with the numbers of accepted and refused records.
	OnPublish func(accepted, refused int)
	// OnRefused is called with a command that the bus will never accept
	// (transport.ErrRefusedForGood). sent is true if the bus may have accepted the command earlier,
	// from this or a different process. The command is not sent again before the next start, and
	// stays pending until a commit discards it. OnRefused is called from Step and must not block.
	OnRefused func(r Record, sent bool, err error)
	// OnDropped is called with the number of announcements that were dropped, because the bus will
	// never accept them or because too many were waiting.
	OnDropped func(announcements int, err error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	for _, field := range []struct {
		value *int
		def   int
	}{
		{&o.Window, 512},
		{&o.WindowBytes, 8 << 20},
		{&o.Backlog, 16_384},
		{&o.BacklogBytes, 16 << 20},
		{&o.MemoryBytes, 256 << 20},
		{&o.Credit, 20_000},
		{&o.CreditBytes, 64 << 20},
		{&o.Recovered, 1024},
		{&o.Announcements, 1 << 18},
	} {
		*field.value = cmp.Or(*field.value, field.def)
	}
	if o.OnPublish == nil {
		o.OnPublish = func(int, int) {}
	}
	if o.OnRefused == nil {
		o.OnRefused = func(Record, bool, error) {}
	}
	if o.OnDropped == nil {
		o.OnDropped = func(int, error) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Relay sends pending records: right after their commit (Push), and again from the ledger after a
// start and whenever the bus may have lost data (Resend).
//
// Each destination has its own queue, share of the bus and backoff (I13). Destinations take turns,
// measured in bytes. The records of one destination are sent in commit order, with two exceptions.
// A record that is refused for now returns to the front of the queue, although later records of its
// batch may have been accepted. And after a start or a loss, the commands that were pending then
// take turns with those that are pushed later, and at most Options.Recovered of them are on the
// bus. Records of different destinations are not ordered.
//
// Run starts one goroutine for each stream. Push, Drop, Supersede, Resend, Correct and the methods
// that report state are safe for concurrent use.
type Relay struct {
	publisher Publisher
	ledger    Ledger
	options   Options

	mu      sync.Mutex
	queues  map[Destination]*queue
	lanes   [2]*lane // one for commands, one for announcements
	known   map[ID]entry
	entered uint64 // entries made so far
	// refused holds the commands that the bus will never accept, until they are discarded. They
	// must not be sent again, because they were reported as refused. The value is true if the
	// command was discarded while the ledger was being read, because that read may still return it.
	refused    map[ID]bool
	reading    bool      // whether commands are being read from the ledger
	epoch      int       // incremented when the bus may have lost data
	sweepAt    time.Time // when to look for expired messages next
	room       int64     // bytes that the stream of commands may hold; 0 if unknown
	used       int64     // bytes that the stream of commands holds
	backlog    int       // commands in all queues
	recovered  int       // the commands among backlog that wait in queue.recovered
	sending    int       // records passed to the bus and not accepted yet
	acceptedAt time.Time // when the bus last accepted a command
	answeredAt time.Time // when a recovered command was last answered
}

// entry describes a record in memory, or a command on the bus.
type entry struct {
	queue     *queue
	bytes     int
	state     state
	pending   bool
	recovered bool      // whether the record was taken from queue.recovered, or waits there
	number    uint64    // of the entry, which the waiting item has too
	until     time.Time // when the message expires on the bus; zero if it stays there until its answer
}

// clearPending marks the record as no longer pending.
func (e *entry) clearPending() {
	if e.pending {
		e.pending = false
		e.queue.pending--
	}
}

type state int8

const (
	waiting    state = iota // in its destination's queue
	sending                 // passed to the bus
	answered                // being published, but already answered; removed after the publish
	superseded              // being published, but no longer needed; if accepted, it stays on the bus until it expires
	onBus                   // accepted by the bus
)

// NewRelay returns a Relay, which does nothing until Run or Step is called.
func NewRelay(publisher Publisher, ledger Ledger, options Options) *Relay {
	r := &Relay{
		publisher: publisher, ledger: ledger, options: options.withDefaults(),
		queues: map[Destination]*queue{}, known: map[ID]entry{}, refused: map[ID]bool{},
	}
	for i, stream := range []transport.Stream{transport.StreamCommands, transport.StreamLifecycle} {
		r.lanes[i] = &lane{stream: stream, wake: make(chan struct{}, 1), relist: true}
	}
	return r
}

// laneOf returns the index of a destination's lane.
func laneOf(to Destination) int {
	if to == Lifecycle {
		return 1
	}
	return 0
}

// queueOf returns the queue of a destination, and creates it on first use. The caller holds r.mu.
func (r *Relay) queueOf(to Destination) *queue {
	l := r.queues[to]
	if l == nil {
		l = &queue{to: to}
		r.queues[to] = l
	}
	return l
}

// activate adds a queue that is not idle to its lane's ring. The caller holds r.mu.
func (r *Relay) activate(l *queue) {
	if !l.active {
		l.active = true
		lane := r.lanes[laneOf(l.to)]
		lane.ring = append(lane.ring, l)
	}
}

// Push queues records that have been committed. It never blocks.
func (r *Relay) Push(records []Record) {
	if len(records) == 0 {
		return
	}
	now := r.options.Now()
	var nudged [len(r.lanes)]bool
	r.mu.Lock()
	for i := range records {
		r.push(&records[i], now)
		nudged[laneOf(records[i].To)] = true
	}
	r.mu.Unlock()
	for i, yes := range nudged {
		if yes {
			r.lanes[i].nudge()
		}
	}
}

func (r *Relay) push(record *Record, now time.Time) {
	l := r.queueOf(record.To)
	r.activate(l)
	if !l.recovering && (l.rescan || l.reading) || r.atBound(l) {
		l.rescan = true // the ledger returns the record in commit order
		return
	}
	if _, there := r.known[record.ID]; there {
		return
	}
	r.enter(l, item{Record: *record, since: now})
}

// enter appends a record that is not known to its queue. The caller holds r.mu.
func (r *Relay) enter(l *queue, it item) {
	r.entered++
	it.entry = r.entered
	l.line(it.recovered).push(it, r.options.Window)
	r.count(l, 1, it.recovered)
	r.known[it.ID] = entry{queue: l, bytes: it.size(), state: waiting, pending: true, recovered: it.recovered, number: it.entry}
	l.pending++
}

// atBound reports whether a destination's queue is full. The caller holds r.mu.
func (r *Relay) atBound(l *queue) bool {
	most := r.options.Backlog
	if l.recovering {
		most -= r.recoveredBacklog()
	}
	return l.fresh.waiting() >= most || l.bytes() >= ownBytes && l.bytes() >= r.memoryShare()
}

// recoveredBacklog returns how many recovered commands of one destination may be in memory.
func (r *Relay) recoveredBacklog() int { return max(min(r.options.Recovered, r.options.Backlog/2), 1) }

// ownBytes is the memory that each destination may use, however much the others use.
const ownBytes = 1 << 20

// memoryShare returns the number of bytes of records that a destination may currently keep in
// memory. The caller holds r.mu.
func (r *Relay) memoryShare() int {
	left := r.options.MemoryBytes
	for _, l := range r.queues {
		left -= l.bytes()
	}
	return min(max(left, ownBytes), r.options.BacklogBytes)
}

// count adds to the number of waiting commands if l is not the queue of announcements.
func (r *Relay) count(l *queue, more int, recovered bool) {
	if l.to != Lifecycle {
		r.backlog += more
	}
	if recovered {
		r.recovered += more
	}
}

// Drop removes answered commands and discarded announcements. They need not be sent any longer, and
// the bus no longer holds them.
func (r *Relay) Drop(ids []ID) { r.drop(ids, true) }

// Supersede removes commands that need not be sent any longer although they were not answered.
// Copies that are on the bus count towards their destination's share until they expire.
func (r *Relay) Supersede(ids []ID) { r.drop(ids, false) }

func (r *Relay) drop(ids []ID, isAnswered bool) {
	if len(ids) == 0 {
		return
	}
	freed, now := false, r.options.Now()
	r.mu.Lock()
	for _, id := range ids {
		if _, there := r.refused[id]; there && r.reading {
			r.refused[id] = true
		} else if there {
			delete(r.refused, id)
		}
		e, ok := r.known[id]
		e.clearPending()
		if e.recovered && isAnswered {
			r.answeredAt = now
		}
		switch {
		case !ok:
		case e.state == waiting:
			delete(r.known, id)
			r.count(e.queue, -1, e.recovered)
			e.queue.line(e.recovered).markDead(r.isWaiting)
		case e.state == sending && isAnswered:
			e.state = answered
			r.known[id] = e
		case e.state == sending:
			e.state = superseded
			r.known[id] = e
		case e.state == onBus && isAnswered:
			freed = r.release(id, e) || freed
		default:
			r.known[id] = e
		}
	}
	r.mu.Unlock()
	if freed {
		r.lanes[0].nudge()
	}
}

// isWaiting reports whether an item of a queue is still to be sent. If its record was dropped, a read of the
// ledger that began before may have entered the record once more, as another item. The caller holds r.mu.
func (r *Relay) isWaiting(it *item) bool {
	e, there := r.known[it.ID]
	return there && e.state == waiting && e.number == it.entry
}

// addHeld adds one message to the counts of the destination's messages on the bus, or removes one
// if sign is -1. The caller holds r.mu.
func (r *Relay) addHeld(e *entry, sign int) {
	l, bytes := e.queue, sign*e.bytes
	l.held += sign
	l.heldBytes += bytes
	if e.recovered {
		l.heldRecovered += sign
	}
	if l.to != Lifecycle {
		r.used += int64(bytes)
	}
}

// release records that the bus no longer holds a message, and reports whether its destination was
// waiting for space on the bus. The caller holds r.mu.
func (r *Relay) release(id ID, e entry) bool {
	e.clearPending()
	r.addHeld(&e, -1)
	delete(r.known, id)
	return e.queue.full || e.queue.paced
}

// Resend sends all pending records again, because the bus may have lost messages that it accepted.
func (r *Relay) Resend() {
	r.mu.Lock()
	r.epoch++
	for id, e := range r.known {
		if e.state == onBus {
			r.release(id, e)
		}
	}
	for _, l := range r.queues {
		l.correction, l.full, l.paced = 0, false, false
		l.accepted() // retry at once
	}
	r.used = 0
	for _, lane := range r.lanes {
		lane.relist = true
	}
	r.mu.Unlock()
	for _, lane := range r.lanes {
		lane.nudge()
	}
}

// Run sends until ctx ends. It returns an error only if the ledger fails.
func (r *Relay) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, lane := range r.lanes {
		group.Go(func() error { return r.run(ctx, lane) })
	}
	return group.Wait()
}

func (r *Relay) run(ctx context.Context, lane *lane) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		handed, _, err := r.step(ctx, lane)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case handed > 0:
			continue
		}
		timer.Stop()
		var later <-chan time.Time
		if due, ok := r.due(lane); ok {
			timer.Reset(due.Sub(r.options.Now()))
			later = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-lane.wake:
		case <-later:
		}
	}
}

// Step runs one round of Run for each stream: it reads the ledger if necessary, and passes at most
// a window of records to the bus. It returns the number of those records, and how many of them the
// bus refused for now. err is an error of the ledger. Step is for callers without goroutines, such
// as a simulator, and must not be called while Run is running.
func (r *Relay) Step(ctx context.Context) (handed, refused int, err error) {
	for _, lane := range r.lanes {
		n, back, err := r.step(ctx, lane)
		handed, refused = handed+n, refused+back
		if err != nil {
			return handed, refused, err
		}
	}
	return handed, refused, nil
}

// Due returns when Step will next have work if nothing is pushed or dropped until then. ok is false
// if Step will have no work.
func (r *Relay) Due() (at time.Time, ok bool) {
	for _, lane := range r.lanes {
		if due, yes := r.due(lane); yes && (!ok || due.Before(at)) {
			at, ok = due, true
		}
	}
	return at, ok
}

// creditPause is the interval at which a destination that has used up its share of the bus is
// retried. It is also retried whenever one of its commands is answered.
const creditPause = time.Second

func (r *Relay) due(lane *lane) (at time.Time, ok bool) {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range lane.ring {
		due := now
		switch {
		case l.idle():
			continue
		case l.backingOff(now):
			due = l.retryAt
		case l.full, l.paced:
			due = now.Add(creditPause)
		}
		if !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	if lane.relist {
		return now, true
	}
	return at, ok
}
