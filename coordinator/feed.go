package coordinator

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
)

// MaxFeed is how many transitions are remembered for those who watch (I10). Who
// comes back later than that is told that some were missed.
const MaxFeed = 8192

// feed is the last transitions, in their order: what those who watch have in
// common, so that a slow one costs nothing.
type feed struct {
	incarnation uint64 // tells positions of this process from those of another

	mu      sync.Mutex
	last    uint64 // number of transitions so far
	ring    []move // transition n is at (n-1) % MaxFeed
	more    chan struct{}
	waiting bool // somebody has asked for more
	closed  bool
}

// move is a transition as far as a watcher has to know it.
type move struct {
	id         contract.SagaID
	definition contract.DefinitionRef
	started    time.Time
	before     contract.Phase
}

func newFeed() *feed {
	return &feed{incarnation: rand.Uint64(), ring: make([]move, 0, MaxFeed), more: make(chan struct{})}
}

// add remembers a transition.
func (f *feed) add(t *Transition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := move{id: t.Saga, definition: t.Definition, started: t.Started, before: t.Before}
	if len(f.ring) < MaxFeed {
		f.ring = append(f.ring, m)
	} else {
		f.ring[f.last%MaxFeed] = m
	}
	f.last++
	if f.waiting {
		close(f.more)
		f.more, f.waiting = make(chan struct{}), false
	}
}

// position is where the feed is now.
func (f *feed) position() position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return position{f.incarnation, f.last}
}

// since is what is behind a position, and where the feed is then. lost is how many
// transitions behind it are not remembered any more; foreign says that the position
// is of another process, so that nobody knows.
func (f *feed) since(p position) (moves []move, lost uint64, foreign bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.incarnation != f.incarnation || p.at > f.last {
		return nil, 0, true
	}
	oldest := f.last - uint64(len(f.ring))
	if p.at < oldest {
		lost, p.at = oldest-p.at, oldest
	}
	moves = make([]move, 0, f.last-p.at)
	for n := p.at; n < f.last; n++ {
		moves = append(moves, f.ring[n%MaxFeed])
	}
	return moves, lost, false
}

// after is closed when there is something behind a position; nil: the feed ended.
func (f *feed) after(at uint64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil
	case f.last > at:
		ready := make(chan struct{})
		close(ready)
		return ready
	}
	f.waiting = true
	return f.more
}

// close ends the feed: everybody who waits is woken.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.more)
	}
}

// position is a place in a feed.
type position struct {
	incarnation uint64
	at          uint64
}

func (p position) String() string { return fmt.Sprintf("%x-%d", p.incarnation, p.at) }

// parsePosition reads what String wrote.
func parsePosition(s string) (p position, err error) {
	if _, err := fmt.Sscanf(s, "%x-%d", &p.incarnation, &p.at); err != nil || p.String() != s {
		return p, violation("after", "is not a position; give the one that the reply before answered, or none to begin now")
	}
	return p, nil
}
