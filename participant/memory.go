package participant

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
)

// MemoryInbox is an inbox in memory, for tests and examples. It loses all entries when the process
// ends, so it cannot keep I5 across restarts. The zero value is ready to use.
type MemoryInbox struct {
	mu      sync.Mutex
	entries map[StepKey]Entry
	busy    map[StepKey]chan struct{} // locked keys; channel closed on unlock, nil while nobody waits
}

// MemoryTx is a transaction of a MemoryInbox.
type MemoryTx struct {
	commits []func()
}

// OnCommit registers f, which is called when the transaction commits, after the entry is stored. If
// the transaction does not commit, f is not called. A handler makes its writes in f.
func (tx *MemoryTx) OnCommit(f func()) { tx.commits = append(tx.commits, f) }

// Update implements Inbox.
func (m *MemoryInbox) Update(ctx context.Context, key StepKey, work Work[*MemoryTx]) error {
	entry, err := m.lock(ctx, key)
	if err != nil {
		return err
	}
	defer m.unlock(key)
	tx := new(MemoryTx)
	next, keep, err := work(ctx, tx, entry)
	if err != nil {
		return err
	}
	if !next.Equal(entry) {
		m.store(key, next)
	}
	if keep {
		for _, commit := range tx.commits {
			commit()
		}
	}
	return nil
}

// store stores copies, because strings and data that are parts of a message would keep the whole
// message in memory.
func (m *MemoryInbox) store(key StepKey, entry Entry) {
	key.Saga = contract.SagaID(strings.Clone(string(key.Saga)))
	key.Step = contract.StepName(strings.Clone(string(key.Step)))
	for _, a := range []*Answer{&entry.Do, &entry.Undo} {
		a.Reason, a.Data = strings.Clone(a.Reason), bytes.Clone(a.Data)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = make(map[StepKey]Entry)
	}
	m.entries[key] = entry
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

// lock waits until the key is unlocked, locks it, and returns its entry.
func (m *MemoryInbox) lock(ctx context.Context, key StepKey) (Entry, error) {
	for {
		m.mu.Lock()
		free, busy := m.busy[key]
		if !busy {
			if m.busy == nil {
				m.busy = make(map[StepKey]chan struct{})
			}
			m.busy[key] = nil
			entry := m.entries[key]
			m.mu.Unlock()
			return entry, nil
		}
		if free == nil {
			free = make(chan struct{})
			m.busy[key] = free
		}
		m.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return Entry{}, ctx.Err()
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
