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
// Publish is transport.Bus's. The batch is the Relay's again when it returns. It is
// called once at a time for each stream.
type Publisher interface {
	Publish(ctx context.Context, batch []transport.Envelope) []error
}

// Ledger is the part of the store that the Relay needs; see store.Store.
type Ledger interface {
	Pending(ctx context.Context, to Destination, after Position, yield func(Position, Record) bool) error
	Destinations(ctx context.Context) (map[Destination]int, error)
	Discard(ctx context.Context, ids []ID) error
}

// All calls yield with everything that is pending: destination by destination, by name, and
// there in order, until yield returns false.
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

// Options of a Relay. The zero value is usable.
type Options struct {
	// Window bounds the envelopes that are handed to the bus at once, for each stream;
	// WindowBytes bounds their bytes. 0: 512, and 8 MiB.
	Window, WindowBytes int
	// Backlog bounds the records of one destination that are held in memory;
	// BacklogBytes bounds their bytes. Further ones stay in the ledger and are read
	// when those are worked off. 0: 16,384, and 16 MiB.
	Backlog, BacklogBytes int
	// MemoryBytes bounds the bytes of all records in memory: beyond a MiB a destination has
	// at most as many as are left of it. 0: 256 MiB.
	MemoryBytes int
	// Credit bounds the commands of one participant that the bus holds unanswered;
	// CreditBytes bounds their bytes. Beyond that, or when they take up as much as is
	// still free in the stream, further ones wait here. 0: 20,000, and 64 MiB.
	Credit, CreditBytes int
	// Announcements bounds those that are pending while the bus does not take any: beyond
	// it the oldest are dropped. 0: 262,144.
	Announcements int
	// Shared says that other processes send what the same ledger enqueues: that this one has
	// not sent a command is then not certain to mean that nobody has.
	Shared bool
	// OnPublish is told about every batch: how many the bus accepted and refused.
	OnPublish func(accepted, refused int)
	// OnRefused is told about a command that the bus will never take
	// (transport.ErrRefusedForGood). sent: an earlier attempt to publish it, or another
	// process's, may have succeeded. It is pending until a commit discards it, and is not sent
	// again before the next start. It is called from Step and must not block.
	OnRefused func(r Record, sent bool, err error)
	// OnDropped is told how many announcements were given up: the bus will never take
	// them, or they were too many.
	OnDropped func(announcements int, err error)
	// Now is the clock. nil: time.Now.
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

// Relay sends what is pending: at once when it is pushed after its commit, again
// from the ledger after a start and whenever the bus may have forgotten (Resend).
//
// It sends destination by destination (I13): each has a queue, a share of the bus and a
// backoff of its own, and they take turns by bytes. Within a destination records are
// sent in the order of their commits; one that the bus refuses for the moment goes back
// to the front, overtaken by the others of its batch. No order is kept between
// destinations.
//
// New wires it; Run owns its goroutines, one for each stream. Push, Drop, Supersede,
// Resend, Correct and the methods that report may be called from any goroutine.
type Relay struct {
	publisher Publisher
	ledger    Ledger
	options   Options

	mu    sync.Mutex
	lines map[Destination]*line
	lanes [2]*lane // of commands, of announcements
	known map[ID]entry
	// refused are the commands that the bus will never take, until they are discarded: what
	// was reported must not be sent after all. true: discarded while the ledger was read,
	// which may still show it.
	refused map[ID]bool
	reading bool      // the ledger of commands is being read
	epoch   int       // grows when the bus may have forgotten
	sweepAt time.Time // when expired messages are next looked for
	room    int64     // bytes that the stream of commands may hold; 0: not known
	used    int64     // of them, those that it holds
	backlog int       // commands in all queues
	sending int       // records that were handed to the bus and not yet accepted
	took    time.Time // when the bus last accepted a command
}

// entry is what is known of a record in memory, or of a command on the bus.
type entry struct {
	line    *line
	bytes   int
	state   state
	pending bool
	until   time.Time // when the bus lets go of it; zero: when it is answered
}

// disown notes that the record is not pending any more.
func (e *entry) disown() {
	if e.pending {
		e.pending = false
		e.line.pending--
	}
}

type state int8

const (
	waiting    state = iota // in its line's queue
	sending                 // handed to the bus
	answered                // handed to the bus, and not pending any more: if it is refused, it does not come back
	superseded              // likewise, but if it is accepted, the bus holds it until it expires
	onBus                   // accepted
)

// NewRelay makes a Relay; nothing happens before Run.
func NewRelay(publisher Publisher, ledger Ledger, options Options) *Relay {
	r := &Relay{
		publisher: publisher, ledger: ledger, options: options.withDefaults(),
		lines: map[Destination]*line{}, known: map[ID]entry{}, refused: map[ID]bool{},
	}
	for i, stream := range []transport.Stream{transport.Commands, transport.Lifecycle} {
		r.lanes[i] = &lane{stream: stream, wake: make(chan struct{}, 1), unlisted: true}
	}
	return r
}

// laneOf is the index of a destination's lane.
func laneOf(to Destination) int {
	if to == Lifecycle {
		return 1
	}
	return 0
}

// lineOf is the line of a destination, made when it is first asked for. Called with the
// lock held.
func (r *Relay) lineOf(to Destination) *line {
	l := r.lines[to]
	if l == nil {
		l = &line{to: to}
		r.lines[to] = l
	}
	return l
}

// activate puts a line with something to do into its lane's ring. Called with the lock
// held.
func (r *Relay) activate(l *line) {
	if !l.active {
		l.active = true
		lane := r.lanes[laneOf(l.to)]
		lane.ring = append(lane.ring, l)
	}
}

// Push hands over records that were committed. It never blocks.
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
	l := r.lineOf(record.To)
	r.activate(l)
	if l.rescan || l.reading || r.atBound(l) {
		l.rescan = true // it is found there, behind what was committed earlier
		return
	}
	if _, there := r.known[record.ID]; there {
		return
	}
	l.push(item{Record: *record, since: now}, r.options.Window)
	r.count(l, 1)
	r.known[record.ID] = entry{line: l, bytes: record.size(), state: waiting, pending: true}
	l.pending++
}

// atBound reports whether a destination has as much in memory as it may. Called with the lock
// held.
func (r *Relay) atBound(l *line) bool {
	return l.waiting() >= r.options.Backlog || l.bytes >= ownBytes && l.bytes >= r.mayKeep()
}

// ownBytes is what each destination may have in memory whatever the others have.
const ownBytes = 1 << 20

// mayKeep is how many bytes of records a destination may have in memory now. Called with
// the lock held.
func (r *Relay) mayKeep() int {
	left := r.options.MemoryBytes
	for _, l := range r.lines {
		left -= l.bytes
	}
	return min(max(left, ownBytes), r.options.BacklogBytes)
}

// count notes that so many more records wait in a line.
func (r *Relay) count(l *line, more int) {
	if l.to != Lifecycle {
		r.backlog += more
	}
}

// Drop says that commands were answered, or announcements discarded: they need not be sent
// any more, and the bus does not hold them.
func (r *Relay) Drop(ids []ID) { r.drop(ids, true) }

// Supersede says that commands need not be sent any more because another attempt is, or
// none. What the bus has of them it holds until they expire.
func (r *Relay) Supersede(ids []ID) { r.drop(ids, false) }

func (r *Relay) drop(ids []ID, isAnswered bool) {
	if len(ids) == 0 {
		return
	}
	freed := false
	r.mu.Lock()
	for _, id := range ids {
		if _, there := r.refused[id]; there && r.reading {
			r.refused[id] = true
		} else if there {
			delete(r.refused, id)
		}
		e, ok := r.known[id]
		e.disown()
		switch {
		case !ok:
		case e.state == waiting:
			delete(r.known, id)
			r.count(e.line, -1)
			e.line.lose(r.waits)
		case e.state == sending && isAnswered:
			e.state = answered
			r.known[id] = e
		case e.state == sending:
			e.state = superseded
			r.known[id] = e
		case e.state == onBus && isAnswered:
			freed = r.letGo(id, e) || freed
		default:
			r.known[id] = e
		}
	}
	r.mu.Unlock()
	if freed {
		r.lanes[0].nudge()
	}
}

// waits reports whether a record waits in its line. Called with the lock held.
func (r *Relay) waits(id ID) bool {
	e, there := r.known[id]
	return there && e.state == waiting
}

// hold notes that the bus holds so many messages and bytes more for a destination. Called
// with the lock held.
func (r *Relay) hold(l *line, messages, bytes int) {
	l.held += messages
	l.heldBytes += bytes
	if l.to != Lifecycle {
		r.used += int64(bytes)
	}
}

// letGo notes that the bus does not hold a message any more, and reports whether its
// destination was waiting for that. Called with the lock held.
func (r *Relay) letGo(id ID, e entry) bool {
	e.disown()
	r.hold(e.line, -1, -e.bytes)
	delete(r.known, id)
	return e.line.full
}

// Resend sends everything that is still pending once more: the bus may have
// forgotten what it had accepted.
func (r *Relay) Resend() {
	r.mu.Lock()
	r.epoch++
	for id, e := range r.known {
		if e.state == onBus {
			r.letGo(id, e)
		}
	}
	for _, l := range r.lines {
		l.unseen, l.full = 0, false
		l.accepted() // it is tried at once
	}
	r.used = 0
	for _, lane := range r.lanes {
		lane.unlisted = true
	}
	r.mu.Unlock()
	for _, lane := range r.lanes {
		lane.nudge()
	}
}

// Run sends until ctx ends. It returns an error only when the ledger fails.
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

// Step is one round of Run, for each stream: it reads the ledger if that is due and
// hands a window of records to the bus. It returns how many those were and how many of
// them the bus refused for the moment, which wait at the front of their destinations. It
// is for callers without goroutines, such as a simulator, and must not be called while
// Run runs. An error is the ledger's.
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

// Due is when a Step has something to do again if nothing is pushed or dropped
// meanwhile; false: never.
func (r *Relay) Due() (at time.Time, ok bool) {
	for _, lane := range r.lanes {
		if due, yes := r.due(lane); yes && (!ok || due.Before(at)) {
			at, ok = due, true
		}
	}
	return at, ok
}

// creditPause is how often a destination that has used up its share of the bus is looked
// at, besides each time that one of its commands is answered.
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
		case l.waits(now):
			due = l.retryAt
		case l.full:
			due = now.Add(creditPause)
		}
		if !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	if lane.unlisted {
		return now, true
	}
	return at, ok
}
