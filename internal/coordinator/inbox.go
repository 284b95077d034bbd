package coordinator

import (
	"context"
	"sync"

	"github.com/amends-dev/amends/transport"
)

// inbox is a shard's bounded queue. It has a class for each participant, and takes one input from
// each class in turn. Starts, timers and requests together are one class; one caller's decisions
// about many sagas are another. So a sender that floods the shard delays only its own inputs.
//
//	put, offer ──▶ a queue for each participant ──▶ take: one of each, and again
type inbox struct {
	arrived chan struct{} // capacity 1; signals that an input may be waiting, or that the inbox is closed
	room    chan struct{} // capacity 1; signals that an input may fit

	mu      sync.Mutex
	slots   []slot // MaxWaiting of them
	free    int    // index of the first empty slot; slot.next links the others
	size    int
	classes map[string]*class // the classes that have waiting inputs
	ring    []*class          // the same classes; next is the index of the class whose turn is next
	next    int
	spare   []*class // empty classes for reuse
	blocked int      // number of callers blocked in put
	timers  int      // how many of the blocked callers have an input of class ""
	closed  bool

	away int         // number of sagas that are set aside
	back []*setAside // sagas whose evaluation is done, ready to continue
}

// slot holds one work. next is the index of the next slot of the same class, or of the next empty
// slot.
type slot struct {
	work work
	next int
}

// class is one queue of the inbox: for the answers of a participant, for inputs without a
// participant, or for the bulk work of one caller.
type class struct {
	name        string
	first, last int // indexes of slots
	size        int
}

func newInbox(most int) *inbox {
	b := &inbox{arrived: make(chan struct{}, 1), room: make(chan struct{}, 1), classes: map[string]*class{}, slots: make([]slot, most)}
	for i := range b.slots {
		b.slots[i].next = i + 1
	}
	return b
}

// put adds work, and blocks while there is no room. It returns transport.ErrClosed if the inbox is
// closed.
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
				signal(b.room) // there is room for another blocked caller too
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
				signal(b.room) // pass on a signal that this caller may have consumed
			}
			b.mu.Unlock()
			return ctx.Err()
		}
		b.mu.Lock()
	}
}

// fits reports whether there is room for an input of a class. Each class may fill half of the
// inbox. The caller holds the lock.
func (b *inbox) fits(participant string) bool {
	c := b.classes[participant]
	return b.size < len(b.slots) && (c == nil || c.size < (len(b.slots)+1)/2)
}

// block counts the callers blocked in put. The caller holds the lock.
func (b *inbox) block(participant string, more int) {
	b.blocked += more
	if participant == "" {
		b.timers += more
	}
}

// offer adds work if there is room and no timer is blocked in put. Blocked answers do not matter,
// because their participant has its own half.
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

// add appends work to its class. The caller holds the lock.
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

// take appends waiting inputs to batch, one of each class in turn, until the batch is full or the
// inbox is empty. It does not block.
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

// drop removes an empty class from the ring. The following class has the next turn.
func (b *inbox) drop(at int) {
	c := b.ring[at]
	delete(b.classes, c.name)
	b.ring = append(b.ring[:at], b.ring[at+1:]...)
	b.spare = append(b.spare, c)
}

// wait blocks until an input can be taken. It returns false once the inbox is closed and empty and
// no saga is set aside.
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

// leave increments the number of sagas that are set aside.
func (b *inbox) leave() {
	b.mu.Lock()
	b.away++
	b.mu.Unlock()
}

// comeBack queues a saga whose evaluation is done; it continues before all waiting inputs.
func (b *inbox) comeBack(a *setAside) {
	b.mu.Lock()
	b.back = append(b.back, a)
	b.mu.Unlock()
	signal(b.arrived)
}

// takeBack returns a saga that can continue, or nil.
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

// close makes put and offer fail; waiting inputs can still be taken.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	signal(b.arrived)
	signal(b.room)
}

// ended reports whether the inbox is closed and empty.
func (b *inbox) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && b.size == 0
}

// len returns the number of waiting inputs.
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
