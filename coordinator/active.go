package coordinator

import (
	"sync"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// maxActive bounds the sagas that activeSagas knows: more than may be waited for.
const maxActive = 1 << 17

// activeSagas are those that this coordinator has seen move and not come to rest
// since, the latest ones: whoever waits for one of them is told its end, and nobody
// has to look where it stands.
type activeSagas struct {
	mu   sync.Mutex
	at   map[saga.ID]*snapshot
	ring []*snapshot
	next int // the oldest slot
}

// snapshot is where a saga stood when it was seen last.
type snapshot struct {
	id         saga.ID // "": it came to rest
	definition contract.DefinitionRef
	phase      saga.Phase
	revision   uint64
}

func newActiveSagas() *activeSagas { return &activeSagas{at: map[saga.ID]*snapshot{}} }

// observe takes note of where a saga stands after an input; nil: it could not be seen.
func (m *activeSagas) observe(id saga.ID, in *saga.Instance) {
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
		if len(m.ring) < maxActive {
			one = &snapshot{}
			m.ring = append(m.ring, one)
		} else {
			one = m.ring[m.next]
			delete(m.at, one.id)
			m.next = (m.next + 1) % maxActive
		}
		one.id, m.at[id] = id, one
	}
	one.definition, one.phase, one.revision = in.Definition, in.Phase, in.Revision
}

// knows reports whether a saga moves. False says nothing.
func (m *activeSagas) knows(id saga.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.at[id]
	return known
}

// brief is where a saga that is known to move stood when it moved last, in few words;
// nil says nothing.
func (m *activeSagas) brief(id saga.ID) *transport.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one, known := m.at[id]; known {
		return &transport.Status{ID: id, Definition: one.definition, Phase: one.phase, Revision: one.revision}
	}
	return nil
}
