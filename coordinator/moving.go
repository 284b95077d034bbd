package coordinator

import (
	"sync"

	"github.com/amends-dev/amends/saga"
)

// maxMoving bounds the sagas that moving knows.
const maxMoving = 1 << 16

// moving are the sagas that this coordinator has seen move and not come to rest
// since, the latest ones: whoever waits for one of them is told its end, and nobody
// has to look where it stands.
type moving struct {
	mu   sync.Mutex
	at   map[saga.ID]int // its place in ring
	ring []saga.ID       // "": came to rest
	next int             // the oldest place
}

func newMoving() *moving { return &moving{at: map[saga.ID]int{}} }

// saw takes note of where a saga stands after an input; nil: it could not be seen.
func (m *moving) saw(id saga.ID, in *saga.Instance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	place, known := m.at[id]
	switch goes := in != nil && !restful(in); {
	case goes == known:
	case known:
		delete(m.at, id)
		m.ring[place] = ""
	case len(m.ring) < maxMoving:
		m.at[id] = len(m.ring)
		m.ring = append(m.ring, id)
	default:
		delete(m.at, m.ring[m.next])
		m.ring[m.next], m.at[id] = id, m.next
		m.next = (m.next + 1) % maxMoving
	}
}

// knows reports whether a saga moves. False says nothing.
func (m *moving) knows(id saga.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.at[id]
	return known
}

// restful reports whether those who wait for a saga are told where it stands.
func restful(in *saga.Instance) bool { return !in.Open() || in.Phase == saga.Parked }
