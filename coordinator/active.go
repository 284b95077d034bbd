package coordinator

import (
	"sync"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// maxActive bounds the sagas that activeSagas knows: more than may be waited for.
const maxActive = 1 << 17

// activeSagas are those that this coordinator has seen move and not come to rest
// since, the latest ones: whoever waits for one of them is told its end, and nobody
// has to look where it stands.
type activeSagas struct {
	mu   sync.Mutex
	at   map[contract.SagaID]*snapshot
	ring []*snapshot
	next int // the oldest slot
}

// snapshot is where a saga stood when it was seen last.
type snapshot struct {
	id         contract.SagaID // "": it came to rest
	definition contract.DefinitionRef
	phase      contract.Phase
	revision   uint64
}

func newActiveSagas() *activeSagas { return &activeSagas{at: map[contract.SagaID]*snapshot{}} }

// observe takes note of where a saga stands after an input; nil: it could not be seen.
func (m *activeSagas) observe(id contract.SagaID, in *machine.Instance) {
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
func (m *activeSagas) knows(id contract.SagaID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.at[id]
	return known
}

// brief is where a saga that is known to move stood when it moved last, in few words;
// nil says nothing.
func (m *activeSagas) brief(id contract.SagaID) *transport.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one, known := m.at[id]; known {
		return &transport.Status{ID: id, Definition: one.definition, Phase: one.phase, Revision: one.revision}
	}
	return nil
}
