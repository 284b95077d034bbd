package participant

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
)

// MemoryInbox is an inbox in memory, for tests and examples: it loses everything
// when the process ends, and with it the promise of I5. The zero value is ready.
type MemoryInbox struct {
	mu      sync.Mutex
	entries map[StepKey]Entry
	busy    map[StepKey]chan struct{} // closed when the key is free again; nil while nobody waits
}

// MemoryTx is a transaction of a MemoryInbox.
type MemoryTx struct {
	commits []func()
}

// OnCommit has f called when the transaction commits, after the entry is stored;
// not at all if it does not commit. That is where a handler writes.
func (tx *MemoryTx) OnCommit(f func()) { tx.commits = append(tx.commits, f) }

// Update implements Inbox.
func (m *MemoryInbox) Update(ctx context.Context, key StepKey, work Work[*MemoryTx]) error {
	if err := m.lock(ctx, key); err != nil {
		return err
	}
	defer m.unlock(key)
	m.mu.Lock()
	entry := m.entries[key]
	m.mu.Unlock()
	tx := new(MemoryTx)
	next, keep, err := work(ctx, tx, entry)
	if err != nil {
		return err
	}
	if !next.Equal(entry) {
		m.mu.Lock()
		if m.entries == nil {
			m.entries = make(map[StepKey]Entry)
		}
		m.entries[key.own()] = next
		m.mu.Unlock()
	}
	if keep {
		for _, commit := range tx.commits {
			commit()
		}
	}
	return nil
}

// own is the key in memory of its own: as it comes from the bus it is a part of
// all headers of its message, which would stay for as long as the entry.
func (k StepKey) own() StepKey {
	k.Saga, k.Step = contract.SagaID(strings.Clone(string(k.Saga))), contract.StepName(strings.Clone(string(k.Step)))
	return k
}

// Prune implements Inbox.
func (m *MemoryInbox) Prune(_ context.Context, participant string, before time.Time, limit int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	removed := 0
	for key, entry := range m.entries {
		if removed >= limit {
			break
		}
		if key.Participant == participant && entry.Updated.Before(before) {
			delete(m.entries, key)
			removed++
		}
	}
	return removed, nil
}

// lock waits until nobody works on the key.
func (m *MemoryInbox) lock(ctx context.Context, key StepKey) error {
	for {
		m.mu.Lock()
		free, busy := m.busy[key]
		if !busy {
			if m.busy == nil {
				m.busy = make(map[StepKey]chan struct{})
			}
			m.busy[key] = nil
			m.mu.Unlock()
			return nil
		}
		if free == nil {
			free = make(chan struct{})
			m.busy[key] = free
		}
		m.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *MemoryInbox) unlock(key StepKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if free := m.busy[key]; free != nil {
		close(free)
	}
	delete(m.busy, key)
}

var _ Inbox[*MemoryTx] = (*MemoryInbox)(nil)
