package projection

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/quota"
)

// Projection answers queries about a coordinator's sagas. Its methods are safe for concurrent use.
type Projection struct {
	parts  []*Part
	partOf func(contract.SagaID) int

	incarnation uint64        // identifies the projection in its positions
	moves       atomic.Uint64 // sequence number of the last move in the feed
	more        atomic.Pointer[chan struct{}]
	closed      atomic.Bool

	open    atomic.Int64
	doubt   atomic.Bool
	blocked atomic.Int64
	waiting atomic.Int64
	quota   *quota.Quota // for waiters
	search  search
	refused refusals
	since   time.Time
}

// Part holds a share of the sagas, with its own lock.
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

// New returns a projection with the given number of parts. partOf returns the index of a saga's
// part.
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

// Part returns a part by its index.
func (p *Projection) Part(i int) *Part { return p.parts[i] }

// Of returns the part of a saga.
func (p *Projection) Of(id contract.SagaID) *Part { return p.parts[p.partOf(id)] }

// Apply applies changes of this part's sagas. The changes of one saga must be in the order of its
// revisions. Apply then notifies watchers, and the waiters of sagas that came to rest.
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

// apply applies one change. It reports whether the change is newer than the known state, and the
// difference that it makes to the number of open sagas.
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
	newer, missed := c.follows(last)
	if !newer {
		return false, 0
	}
	open = count(c.Open) - count(c.openBefore(last))
	before := c.Before
	if missed > 0 {
		pt.p.doubt.Store(true)
		before = last.Phase // the phase that watchers were told last
	}
	pt.standings.put(&c.Standing)
	pt.paused.set(c.Saga, c.Open && c.Paused)
	if c.Event == "" && last == nil {
		return false, open // no news for watchers: the saga was only read
	}
	pt.feed.add(Move{At: pt.p.moves.Add(1), Saga: c.Saga, Definition: c.Definition, Started: c.Started, Before: before, Missed: missed})
	if c.Event != "" {
		pt.figures.count(c)
	}
	return true, open
}

// bringsRest reports whether a change is the newest known change of its saga and the saga is at
// rest after it.
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

// Moving returns the state of a saga that is known not to be at rest. It returns false if the saga
// is at rest or unknown.
func (p *Projection) Moving(id contract.SagaID) (Standing, bool) {
	pt := p.Of(id)
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if one := pt.standings.moving(id); one != nil {
		return *one, true
	}
	return Standing{}, false
}

// Open returns the number of sagas that have not ended.
func (p *Projection) Open() int { return int(p.open.Load()) }

// Doubt records that another coordinator changes sagas too, so changes may be missed.
func (p *Projection) Doubt() { p.doubt.Store(true) }

// Doubted reports whether Rebuild is due, because a change was missed or Doubt was called.
func (p *Projection) Doubted() bool { return p.doubt.Load() }

// Moves returns the number of moves in the feed so far.
func (p *Projection) Moves() uint64 { return p.moves.Load() }

// Rebuild sets the number of open sagas and restarts the search for paused sagas. open was counted
// in the store when Moves returned at. If a change has been applied since, Rebuild does nothing and
// returns false.
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

// Removed records that a damaged saga was removed. open is true if the saga was counted as open.
func (p *Projection) Removed(id contract.SagaID, open bool) {
	p.Of(id).Apply([]Change{{Standing: Standing{Saga: id}}})
	if open {
		p.open.Add(-1)
	}
}

// Close ends the feed and answers all waiters with nil.
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

// merged calls take with the statistics of each part.
func (p *Projection) merged(take func(*figures)) {
	for _, pt := range p.parts {
		pt.mu.Lock()
		take(&pt.figures)
		pt.mu.Unlock()
	}
}
