package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// Limits of a run, in virtual time and events (I2, I10).
const (
	chaosLeast = 10 * time.Second
	chaosMost  = 2 * time.Minute
	// calm limits the time from the last fault until all sagas have ended and the system is at
	// rest. The timeouts, backoffs and deadlines of definitions are at most about two minutes, and
	// a saga has at most 2 × 12 actions of 4 attempts.
	calm = 2 * time.Hour
	// eventsPerSaga limits the events of a run.
	eventsPerSaga = 50_000
)

// epoch is the start time of every run.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world holds the whole state of one run, which has one goroutine and draws from one seed.
type world struct {
	ctx      context.Context
	rng      rng
	later    rng // draws for features that were added after the first kept runs
	latest   rng // draws for features that were added after the features of later
	mix      Mix
	bug      Bug
	now      time.Duration
	seq      uint64
	schedule schedule
	events   int
	line     Record // the last record of the history
	history  []Record
	keep     bool   // whether to keep the history
	digest   digest // digest of the history
	faults   [faultKinds]int
	coverage [coveragePoints]int
	healed   bool

	repairing bool // an operator repairs parked sagas

	volumes     []*volume // data directories: one shared by all nodes, or one for each node in runs with claims
	claims      *claims   // nil in runs without claims, which have one store
	bus         *bus
	nodes       []*node
	services    map[string]*service
	callers     []*caller
	mapped      bool // definitions have mappings, which are evaluated outside the engines
	definitions []*saga.Definition
	shapes      map[*saga.Definition]*shape
	repairs     int
	starts      int // number of requested starts

	retention, tombstones time.Duration // how long an ended saga is kept, and how long its tombstone is kept
}

func newWorld(ctx context.Context, o Options, keep bool) *world {
	d, later, latest := newRNG(o.Seed), newRNG(^o.Seed), newRNG(o.Seed^0x6c6174657374)
	number := sagasOf(d)

	w := &world{ctx: ctx, rng: d, later: later, latest: latest, bug: o.Bug, keep: keep, digest: newDigest(), services: map[string]*service{}, shapes: map[*saga.Definition]*shape{}}
	if claimed(o.Seed) {
		w.claims = newClaims(w, newRNG(o.Seed^1<<63))
	}
	w.mix = newMix(d, later, latest, o.Off)
	w.claims.draw(&w.mix, o.Off)
	w.retention = later.span(time.Second, 20*time.Second)
	w.tombstones = w.retention + later.span(0, 20*time.Second)
	w.bus = &bus{w: w}
	w.mapped = o.Seed%5 == 3
	for range d.between(1, 3) {
		def, shape := definition(d.IntN(definitionPool), w.mapped)
		w.definitions = append(w.definitions, def)
		w.shapes[def] = shape
	}
	shared := w.newVolume("v1")
	w.volumes = append(w.volumes, shared)
	for i := range services {
		s := newService(w, i, d.chance(0.15))
		w.services[s.name] = s
	}
	coordinators := d.between(1, 2)
	if w.claims != nil {
		coordinators = 1 // other coordinators join later with their own stores
	}
	for range coordinators {
		w.nodes = append(w.nodes, newNode(w, shared, d.between(1, 32), d.between(1, 16)))
	}
	if w.claims != nil {
		w.nodes[0].uptime = w.claims.rng.span(time.Hour, 1000*time.Hour)
	}
	chaos := d.span(chaosLeast, chaosMost)
	if o.Sagas > 0 {
		number = min(number, o.Sagas)
	}
	for i := range number {
		c := &caller{w: w, id: contract.SagaID(fmt.Sprintf("s%d", i+1)), def: pick(d, w.definitions), input: `{"n":1}`}
		w.callers = append(w.callers, c)
		w.after(d.span(0, chaos), c.start)
		w.after(d.span(0, chaos), c.startAgain)
	}
	w.after(chaos, w.heal)
	w.weather()
	return w
}

// sagasOf returns the number of sagas in a run. It is the first value drawn from the run's rng.
func sagasOf(d rng) int { return d.between(1, 24) }

// after schedules a call.
func (w *world) after(d time.Duration, call func()) {
	w.seq++
	w.schedule.push(event{at: w.now + max(d, 0), seq: w.seq, call: call})
}

// run executes events until none is scheduled. It returns the reason if it had to stop early, and
// "" otherwise.
func (w *world) run() string {
	for _, n := range w.nodes {
		n.start()
	}
	end := time.Duration(0)
	for len(w.schedule) > 0 {
		w.next()
		if w.healed && end == 0 {
			end = w.now + calm
		}
		switch {
		case end > 0 && w.now > end:
			return fmt.Sprintf("not quiet %s after the last fault", calm)
		case w.events > eventsPerSaga*(len(w.callers)+1):
			return "not quiet after " + plural.Of(w.events, "event", "events")
		}
	}
	return ""
}

// next executes the earliest event.
func (w *world) next() {
	e := w.schedule.pop()
	w.now = e.at
	w.events++
	e.call()
}

// record adds a record to the history and the audit.
func (w *world) record(r Record) {
	r.At = w.now
	w.line = r
	w.digest.record(&w.line)
	w.take(&w.line)
	if !w.keep {
		return
	}
	if r.Answer != nil { // the caller reuses the memory of the answer
		answer := *r.Answer
		r.Answer = &answer
	}
	w.history = append(w.history, r)
}

// faulty draws whether a fault happens now. It draws a number even if the fault cannot happen, so
// that later draws stay the same.
func (w *world) faulty(k Fault) bool { return w.happens(w.rng, k) }

func (w *world) happens(d rng, k Fault) bool {
	if !d.chance(w.mix[k]) || w.healed {
		return false
	}
	w.faults[k]++
	w.record(Record{Kind: Disturbed, Note: k.String()})
	return true
}

// weather draws about once a second which random disturbances happen.
func (w *world) weather() {
	if w.healed {
		return
	}
	if w.faulty(BusForgets) {
		w.bus.forget()
	}
	n := pick(w.rng, w.nodes)
	if n.up && w.faulty(CrashAnywhere) {
		n.crash("killed")
	}
	if w.faulty(ClockJumps) {
		n.jump(w.rng.span(-time.Minute, time.Minute))
	}
	if w.faulty(Pauses) {
		n.pausedUntil = w.now + w.rng.span(time.Second, 30*time.Second)
		n.held = max(n.held, n.pausedUntil)
	}
	if w.happens(w.later, RetentionForgets) {
		w.forget(pick(w.later, w.nodes))
	}
	if w.happens(w.latest, CutsOff) {
		pick(w.latest, w.nodes).cutOff()
	}
	if w.claims != nil {
		w.claims.weather()
	}
	c := pick(w.rng, w.callers)
	if w.faulty(Cancels) {
		c.operate(machine.Event{Type: contract.EventOperationTaken, Operation: contract.OperationCancel, By: "kim", Reason: "changed my mind"})
	}
	if w.faulty(Operates) {
		c.meddle()
	}
	w.after(w.rng.span(100*time.Millisecond, 3*time.Second), w.weather)
}

// heal ends all faults, starts all processes, and lets an operator repair parked sagas.
func (w *world) heal() {
	w.healed = true
	w.record(Record{Kind: Healed})
	if w.claims != nil {
		w.claims.awayUntil = 0
	}
	for _, n := range w.nodes {
		n.pausedUntil, n.cutUntil = 0, 0
		if !n.up && n.ended == nil {
			n.start()
		}
	}
	for i := range services {
		w.services[serviceName(i)].downUntil = 0
	}
	w.repair()
}

// repair repairs parked sagas every few seconds until no saga is open.
func (w *world) repair() {
	open := w.claims != nil && w.claims.repair()
	for _, c := range w.callers {
		open = c.repair() || open
	}
	if w.repairing = open; open {
		w.after(5*time.Second, w.repair)
	}
}

// mostAgain limits how often a caller starts the same id again.
const mostAgain = 3

// forget runs retention by the clock of one process. In a run, sagas and their tombstones are
// removed within seconds, while messages about them are still in flight.
func (w *world) forget(n *node) {
	if !n.serves || n.frozen {
		return
	}
	ended, dropped := n.clock().Add(-w.retention), n.clock().Add(-w.tombstones)
	before := make([]*machine.Instance, len(w.callers))
	free := make([]bool, len(w.callers))
	for i, c := range w.callers {
		before[i], free[i] = n.volume.look(c.id), n.volume.free(c.id)
		if in := before[i]; in != nil && !in.Open() && in.Ended.Before(ended) { // checked now, because its history is removed too
			n.volume.audit.folds(c.id, n.volume.audit.account(&Record{Saga: c.id, Run: in.TraceParent}), in)
		}
	}
	if _, _, err := n.disk.Expire(w.ctx, ended, dropped, 0); err != nil {
		n.crash("while forgetting")
		return
	}
	for i, c := range w.callers {
		switch {
		case before[i] != nil && n.volume.look(c.id) == nil:
			n.record(Record{Kind: Forgotten, Who: n.name, Saga: c.id, Run: before[i].TraceParent})
		case !free[i] && n.volume.free(c.id) && c.again < mostAgain:
			c.again++
			c.done, c.ended = false, false
			w.after(w.later.span(0, 10*time.Second), c.start)
		}
	}
}
