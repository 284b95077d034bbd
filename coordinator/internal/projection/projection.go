package projection

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/quota"
)

// Projection is what a coordinator can tell of its sagas. Its methods are safe for concurrent use.
type Projection struct {
	parts  []*Part
	partOf func(contract.SagaID) int

	incarnation uint64        // tells positions of this projection from those of another
	moves       atomic.Uint64 // so many are in the feed, or were
	more        atomic.Pointer[chan struct{}]
	closed      atomic.Bool

	open    atomic.Int64
	doubt   atomic.Bool
	blocked atomic.Int64
	waiting atomic.Int64
	quota   *quota.Quota // of those who wait
	search  search
	refused refusals
	since   time.Time
}

// Part is a share of the sagas, with a lock of its own.
type Part struct {
	p *Projection

	mu        sync.Mutex
	standings standings
	feed      feed
	waiters   map[contract.SagaID][]*Waiter
	paused    paused
	blocked   map[contract.SagaID]obstacle
	figures   figures
	closed    bool
}

// New makes a projection of so many parts. partOf is the part of a saga, from 0 on.
func New(parts int, partOf func(contract.SagaID) int, now time.Time) *Projection {
	p := &Projection{partOf: partOf, incarnation: rand.Uint64(), quota: quota.New(MaxWaiters, MaxWaitersPerCaller), since: now}
	for range parts {
		p.parts = append(p.parts, &Part{
			p: p, standings: newStandings(MaxKnown/parts, MaxEnded/parts), feed: feed{max: max(MaxFeed/parts, minFeed)},
			waiters: map[contract.SagaID][]*Waiter{}, paused: paused{ids: map[contract.SagaID]bool{}}, blocked: map[contract.SagaID]obstacle{}, figures: newFigures(),
		})
	}
	return p
}

// Part is one of them, from 0 on.
func (p *Projection) Part(i int) *Part { return p.parts[i] }

// Of is the part of a saga.
func (p *Projection) Of(id contract.SagaID) *Part { return p.parts[p.partOf(id)] }

// Apply takes in what happened to sagas of this part: those of one saga in the order of their
// revisions. Then it tells those who wait for a saga that came to rest, and those who watch.
func (pt *Part) Apply(changes []Change) {
	var told []notice
	moved, open := false, 0
	pt.mu.Lock()
	for i := range changes {
		c := &changes[i]
		newer, opened := pt.apply(c)
		moved, open = moved || newer, open+opened
		if pt.bringsRest(c) {
			told = pt.release(c, told)
		}
	}
	pt.mu.Unlock()
	if open != 0 {
		pt.p.open.Add(int64(open))
	}
	if moved {
		pt.p.wake()
	}
	pt.p.tell(told)
}

// apply takes in one change, and reports whether it is newer than what was known, and by how
// many sagas more are open.
func (pt *Part) apply(c *Change) (newer bool, open int) {
	pt.unblock(c.Saga)
	if c.Revision == 0 {
		pt.standings.forget(c.Saga)
		pt.paused.set(c.Saga, false)
		return false, 0
	}
	var last *Standing
	if one, known := pt.standings.last(c.Saga); known {
		last = &one
	}
	order := c.follows(last)
	if !order.newer {
		return false, 0
	}
	open = count(c.Open) - count(c.openBefore(last))
	before := c.Before
	if order.missed > 0 {
		pt.p.doubt.Store(true)
		before = last.Phase // of what watchers were told last
	}
	if last != nil && last.Birth != c.Birth {
		open -= count(last.Open)
	}
	pt.standings.put(&c.Standing)
	pt.paused.set(c.Saga, c.Open && c.Paused)
	if c.Event == "" && last == nil {
		return false, open // it has been there for long
	}
	pt.feed.add(Move{At: pt.p.moves.Add(1), Saga: c.Saga, Definition: c.Definition, Started: c.Started, Before: before, Missed: order.missed})
	if c.Event != "" {
		pt.figures.count(c)
	}
	return true, open
}

// bringsRest reports whether a saga is at rest as the change says, as far as anybody knows.
func (pt *Part) bringsRest(c *Change) bool {
	if c.Revision == 0 || !c.Phase.AtRest() || len(pt.waiters) == 0 {
		return false
	}
	last, known := pt.standings.last(c.Saga)
	return known && last.Birth == c.Birth && last.Revision == c.Revision
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Moving is where a saga stands that was seen to move last; false says nothing.
func (p *Projection) Moving(id contract.SagaID) (Standing, bool) {
	pt := p.Of(id)
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if one := pt.standings.moving(id); one != nil {
		return *one, true
	}
	return Standing{}, false
}

// Open is how many sagas have not ended.
func (p *Projection) Open() int { return int(p.open.Load()) }

// Doubt says that others move sagas too, and that they may not be told of all of it.
func (p *Projection) Doubt() { p.doubt.Store(true) }

// Doubted reports whether Rebuild is due: a change was missed, or Doubt was called.
func (p *Projection) Doubted() bool { return p.doubt.Load() }

// Moves is how many changes were taken in so far.
func (p *Projection) Moves() uint64 { return p.moves.Load() }

// Rebuild takes in how many sagas are open, as a store says that was read when Moves was at,
// and has paused sagas searched for again. It reports false, and does nothing, when something
// has been applied since.
func (p *Projection) Rebuild(at uint64, open int) bool {
	for _, pt := range p.parts {
		pt.mu.Lock()
		defer pt.mu.Unlock()
	}
	if p.moves.Load() != at {
		return false
	}
	p.open.Store(int64(open))
	p.doubt.Store(false)
	for _, pt := range p.parts {
		pt.paused.ids = map[contract.SagaID]bool{}
	}
	p.search.again.Store(true)
	return true
}

// Removed takes in that a saga was removed that could not be moved. open: it was one of the
// open ones.
func (p *Projection) Removed(id contract.SagaID, open bool) {
	p.Of(id).Apply([]Change{{Standing: Standing{Saga: id}}})
	if open {
		p.open.Add(-1)
	}
}

// Close ends the feed and answers everybody who waits with nil.
func (p *Projection) Close() {
	p.CloseFeed()
	var told []notice
	for _, pt := range p.parts {
		pt.mu.Lock()
		pt.closed = true
		for _, list := range pt.waiters {
			for _, w := range list {
				told = append(told, notice{waiter: w})
				w.drop()
			}
		}
		pt.waiters = map[contract.SagaID][]*Waiter{}
		pt.mu.Unlock()
	}
	p.tell(told)
}

// merged are the figures of all parts.
func (p *Projection) merged(take func(*figures)) {
	for _, pt := range p.parts {
		pt.mu.Lock()
		take(&pt.figures)
		pt.mu.Unlock()
	}
}
