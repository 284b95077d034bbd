package projection

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
)

// MaxFeed is how many moves are remembered for those who watch, over all parts; of a part at
// least minFeed. Who comes back later than that is told that some were missed.
const (
	MaxFeed = 8192
	minFeed = 512
)

// feed is the last moves of a part, in their order: what those who watch have in common, so
// that a slow one costs nothing.
type feed struct {
	max  int
	ring []Move
	next int // the oldest, once the ring is full
}

// Move is a change as far as a watcher has to know it.
type Move struct {
	At         uint64 // its number in the feed of all parts, from 1 on
	Saga       contract.SagaID
	Definition contract.DefinitionRef
	Started    time.Time
	Before     contract.Phase // in which the saga was, as far as watchers know
	Missed     uint64         // earlier moves of the saga that nobody told of
}

func (f *feed) add(m Move) {
	if len(f.ring) < f.max {
		f.ring = append(f.ring, m)
		return
	}
	f.ring[f.next] = m
	f.next = (f.next + 1) % f.max
}

// between appends the moves behind after, up to last.
func (f *feed) between(after, last uint64, moves []Move) []Move {
	n := len(f.ring)
	for k := range n {
		m := &f.ring[(f.next+n-1-k)%n] // the newest first
		if m.At <= after {
			break
		}
		if m.At <= last {
			moves = append(moves, *m)
		}
	}
	return moves
}

// Position is a place in the feed.
type Position struct {
	Incarnation uint64 // of the projection
	At          uint64 // the number of the last move before it
}

func (p Position) String() string { return fmt.Sprintf("%x-%d", p.Incarnation, p.At) }

// ErrPosition: ParsePosition was given something else.
var ErrPosition = errors.New("not a position")

// ParsePosition reads what String wrote.
func ParsePosition(s string) (p Position, err error) {
	if _, err := fmt.Sscanf(s, "%x-%d", &p.Incarnation, &p.At); err != nil || p.String() != s {
		return p, ErrPosition
	}
	return p, nil
}

// Position is where the feed is now.
func (p *Projection) Position() Position { return Position{p.incarnation, p.moves.Load()} }

// Since is what is remembered of the moves behind a position, in their order, and where the feed
// is then. Those of one saga are in the order of its revisions. foreign: the position is of
// another projection, and nobody knows what is behind it.
func (p *Projection) Since(from Position) (moves []Move, to Position, foreign bool) {
	// Who adds a move holds the lock of its part from before the move has a number. So a move
	// with a number up to this one is there once its part's lock is had.
	to = p.Position()
	if from.Incarnation != to.Incarnation || from.At > to.At {
		return nil, to, true
	}
	for _, pt := range p.parts {
		pt.mu.Lock()
		moves = pt.feed.between(from.At, to.At, moves)
		pt.mu.Unlock()
	}
	slices.SortFunc(moves, func(a, b Move) int { return cmp.Compare(a.At, b.At) })
	return moves, to, false
}

// After is closed when there is something behind a position; nil: the feed ended.
func (p *Projection) After(at Position) <-chan struct{} {
	more := p.more.Load()
	for more == nil {
		made := make(chan struct{})
		if p.more.CompareAndSwap(nil, &made) {
			more = &made
			break
		}
		more = p.more.Load()
	}
	// In this order: who moves looks whether somebody waits afterwards.
	switch {
	case p.closed.Load():
		return nil
	case p.moves.Load() > at.At:
		ready := make(chan struct{})
		close(ready)
		return ready
	}
	return *more
}

// wake wakes those who wait for something behind a position.
func (p *Projection) wake() {
	if p.more.Load() == nil {
		return
	}
	if more := p.more.Swap(nil); more != nil {
		close(*more)
	}
}

// CloseFeed ends the feed: everybody who watches is woken.
func (p *Projection) CloseFeed() {
	p.closed.Store(true)
	p.wake()
}
