package coordinator

import (
	"sync"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// maxMoving bounds the sagas that moving knows: more than may be waited for.
const maxMoving = 1 << 17

// moving are the sagas that this coordinator has seen move and not come to rest
// since, the latest ones: whoever waits for one of them is told its end, and nobody
// has to look where it stands.
type moving struct {
	mu   sync.Mutex
	at   map[saga.ID]*sighting
	ring []*sighting
	next int // the oldest place
}

// sighting is where a saga stood when it was seen last.
type sighting struct {
	id         saga.ID // "": it came to rest
	definition contract.DefinitionRef
	phase      saga.Phase
	revision   uint64
}

func newMoving() *moving { return &moving{at: map[saga.ID]*sighting{}} }

// saw takes note of where a saga stands after an input; nil: it could not be seen.
func (m *moving) saw(id saga.ID, in *saga.Instance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one, known := m.at[id]
	if in == nil || in.AtRest() {
		if known {
			delete(m.at, id)
			one.id = ""
		}
		return
	}
	if !known {
		if len(m.ring) < maxMoving {
			one = &sighting{}
			m.ring = append(m.ring, one)
		} else {
			one = m.ring[m.next]
			delete(m.at, one.id)
			m.next = (m.next + 1) % maxMoving
		}
		one.id, m.at[id] = id, one
	}
	one.definition, one.phase, one.revision = in.Definition, in.Phase, in.Revision
}

// knows reports whether a saga moves. False says nothing.
func (m *moving) knows(id saga.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.at[id]
	return known
}

// brief is where a saga that is known to move stood when it moved last, in few words;
// nil says nothing.
func (m *moving) brief(id saga.ID) *transport.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one, known := m.at[id]; known {
		return &transport.Status{ID: id, Definition: one.definition, Phase: one.phase, Revision: one.revision}
	}
	return nil
}
