package coordinator

import (
	"context"
	"sync"

	"github.com/amends-dev/amends/transport"
)

// inbox is what waits for a shard, up to a bound. What comes from one participant is
// taken in the order in which it came; participants take turns, starts, timers and requests
// are one class among them, and decisions of one caller about many sagas another: whoever
// floods the shard waits behind its own.
//
//	put, offer ──▶ a queue for each participant ──▶ take: one of each, and again
type inbox struct {
	arrived chan struct{} // capacity 1: something may be there, or the inbox is closed
	room    chan struct{} // capacity 1: something may fit

	mu      sync.Mutex
	slots   []slot // as many as may wait
	free    int    // the first that is empty; the others follow
	size    int
	classes map[string]*class // those with something in them
	ring    []*class          // the same, in the order of their turns from next on
	next    int
	spare   []*class // empty ones, to be used again
	blocked int      // who waits in put
	timers  int      // of them, those with what comes from no participant
	closed  bool

	away int         // sagas that are set aside
	back []*setAside // of them, those that can go on
}

// slot holds one work, and says which is behind it in its class, or among the empty ones.
type slot struct {
	work work
	next int
}

// class is the queue of one participant, of what comes from none, or of bulk work.
type class struct {
	name        string
	first, last int // slots
	size        int
}

func newInbox(most int) *inbox {
	b := &inbox{arrived: make(chan struct{}, 1), room: make(chan struct{}, 1), classes: map[string]*class{}, slots: make([]slot, most)}
	for i := range b.slots {
		b.slots[i].next = i + 1
	}
	return b
}

// put adds work, waiting while there is no room. transport.ErrClosed: it is closed.
func (b *inbox) put(ctx context.Context, w work) error {
	name := w.turn()
	b.mu.Lock()
	for waited := false; ; waited = true {
		if waited {
			b.block(name, -1)
		}
		if b.closed {
			b.mu.Unlock()
			return transport.ErrClosed
		}
		if b.fits(name) {
			b.add(w)
			if b.size < len(b.slots) && b.blocked > 0 {
				signal(b.room) // there is room for the next one too
			}
			b.mu.Unlock()
			signal(b.arrived)
			return nil
		}
		b.block(name, 1)
		b.mu.Unlock()
		select {
		case <-b.room:
		case <-ctx.Done():
			b.mu.Lock()
			b.block(name, -1)
			if b.blocked > 0 {
				signal(b.room) // it may have been meant for this one
			}
			b.mu.Unlock()
			return ctx.Err()
		}
		b.mu.Lock()
	}
}

// fits reports whether there is room for what comes from a participant, which may take up
// half of it; so may what comes from none. Called with the lock held.
func (b *inbox) fits(participant string) bool {
	c := b.classes[participant]
	return b.size < len(b.slots) && (c == nil || c.size < (len(b.slots)+1)/2)
}

// block counts who waits in put. Called with the lock held.
func (b *inbox) block(participant string, more int) {
	b.blocked += more
	if participant == "" {
		b.timers += more
	}
}

// offer adds work if there is room, and no timer waits for it. Answers that wait do not
// keep starts out: their participant has its half.
func (b *inbox) offer(w work) bool {
	b.mu.Lock()
	taken := !b.closed && b.fits(w.turn()) && b.timers == 0
	if taken {
		b.add(w)
	}
	b.mu.Unlock()
	if taken {
		signal(b.arrived)
	}
	return taken
}

// add is called with the lock held.
func (b *inbox) add(w work) {
	name := w.turn()
	c := b.classes[name]
	if c == nil {
		if n := len(b.spare); n > 0 {
			c, b.spare = b.spare[n-1], b.spare[:n-1]
		} else {
			c = &class{}
		}
		c.name = name
		b.classes[name] = c
		b.ring = append(b.ring, c)
	}
	at := b.free
	b.free = b.slots[at].next
	b.slots[at].work = w
	if c.size == 0 {
		c.first = at
	} else {
		b.slots[c.last].next = at
	}
	c.last = at
	c.size++
	b.size++
}

// take appends what waits to batch, one of each class in turn, up to the batch's
// capacity. It does not wait.
func (b *inbox) take(batch []work) []work {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.size
	for len(batch) < cap(batch) && b.size > 0 {
		if b.next >= len(b.ring) {
			b.next = 0
		}
		c := b.ring[b.next]
		at := c.first
		batch = append(batch, b.slots[at].work)
		c.first = b.slots[at].next
		b.slots[at] = slot{next: b.free}
		b.free = at
		c.size--
		b.size--
		if c.size == 0 {
			b.drop(b.next)
			continue
		}
		b.next++
	}
	if b.size < before && b.blocked > 0 {
		signal(b.room)
	}
	if b.size > 0 {
		signal(b.arrived)
	}
	return batch
}

// drop takes an empty class out of the ring: the turn is that of the one behind it.
func (b *inbox) drop(at int) {
	c := b.ring[at]
	delete(b.classes, c.name)
	b.ring = append(b.ring[:at], b.ring[at+1:]...)
	b.spare = append(b.spare, c)
}

// wait waits until something is there, and reports whether: false when the inbox is
// closed and empty, and no saga is set aside.
func (b *inbox) wait() bool {
	for {
		b.mu.Lock()
		size, back, away, closed := b.size, len(b.back), b.away, b.closed
		b.mu.Unlock()
		if size > 0 || back > 0 {
			return true
		}
		if closed && away == 0 {
			return false
		}
		<-b.arrived
	}
}

// leave counts a saga that is set aside.
func (b *inbox) leave() {
	b.mu.Lock()
	b.away++
	b.mu.Unlock()
}

// comeBack has a saga that was set aside go on, before all that waits.
func (b *inbox) comeBack(a *setAside) {
	b.mu.Lock()
	b.back = append(b.back, a)
	b.mu.Unlock()
	signal(b.arrived)
}

// takeBack returns a saga that can go on; nil: there is none.
func (b *inbox) takeBack() *setAside {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.back) == 0 {
		return nil
	}
	a := b.back[0]
	b.back[0] = nil
	b.back = b.back[1:]
	b.away--
	return a
}

// close ends put and offer; what is there is still taken.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	signal(b.arrived)
	signal(b.room)
}

// ended reports whether the inbox is closed, and empty.
func (b *inbox) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && b.size == 0
}

// len is how much waits.
func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
