package projection

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
)

// MaxFeed is the number of moves kept for watchers, over all parts; each part keeps at least
// minFeed. A watcher that resumes from an older position is told that it missed moves.
const (
	MaxFeed = 8192
	minFeed = 512
)

// feed holds the latest moves of a part, in order. All watchers read the same feed, so a slow
// watcher needs no extra memory.
type feed struct {
	max  int
	ring []Move
	next int // index of the oldest move, once the ring is full
}

// Move holds the part of a change that a watcher needs.
type Move struct {
	At         uint64 // its sequence number in the feed of all parts, from 1
	Saga       contract.SagaID
	Definition contract.DefinitionRef
	Started    time.Time
	Before     contract.Phase // the saga's previous phase, as far as watchers know
	Missed     uint64         // number of earlier moves of the saga that were not applied here
}

func (f *feed) add(m Move) {
	if len(f.ring) < f.max {
		f.ring = append(f.ring, m)
		return
	}
	f.ring[f.next] = m
	f.next = (f.next + 1) % f.max
}

// between appends the moves whose number is greater than after and at most last.
func (f *feed) between(after, last uint64, moves []Move) []Move {
	n := len(f.ring)
	for k := range n {
		m := &f.ring[(f.next+n-1-k)%n] // newest first
		if m.At <= after {
			break
		}
		if m.At <= last {
			moves = append(moves, *m)
		}
	}
	return moves
}

// Position is a position in the feed, between two moves.
type Position struct {
	Incarnation uint64 // identifies the projection
	At          uint64 // sequence number of the last move before the position
}

func (p Position) String() string { return fmt.Sprintf("%x-%d", p.Incarnation, p.At) }

// ErrPosition means that a string is not a position.
var ErrPosition = errors.New("not a position")

// ParsePosition parses the result of String.
func ParsePosition(s string) (p Position, err error) {
	if _, err := fmt.Sscanf(s, "%x-%d", &p.Incarnation, &p.At); err != nil || p.String() != s {
		return p, ErrPosition
	}
	return p, nil
}

// Position returns the end of the feed.
func (p *Projection) Position() Position { return Position{p.incarnation, p.moves.Load()} }

// Since returns the moves after a position that are still kept, in order, and the new position. The
// moves of one saga are in the order of its revisions. foreign means that the position belongs to
// another projection, so the moves after it are unknown.
func (p *Projection) Since(from Position) (moves []Move, to Position, foreign bool) {
	// Apply numbers a move while it holds the lock of the move's part. So after locking a part, all
	// its moves up to this number can be read.
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

// After returns a channel that is closed once there is a move after a position. It returns nil if
// the feed has ended.
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
	// Load the channel before checking: a writer adds a move first, and closes the channel
	// afterwards.
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

// wake wakes the watchers that wait for a move.
func (p *Projection) wake() {
	if p.more.Load() == nil {
		return
	}
	if more := p.more.Swap(nil); more != nil {
		close(*more)
	}
}

// CloseFeed ends the feed and wakes all watchers.
func (p *Projection) CloseFeed() {
	p.closed.Store(true)
	p.wake()
}
