package participant

import (
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
)

// MemoryInbox is an inbox in memory, for tests and examples. It loses all entries when the process
// ends, so it cannot keep I5 across restarts. The zero value is ready to use.
type MemoryInbox struct {
	mu sync.Mutex
	// Keys and entries are encoded. As structs, they would have thirteen pointers each, which the
	// garbage collector would have to follow.
	entries map[string][]byte
	busy    map[string]chan struct{} // closed when the key is unlocked; nil while nobody waits
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
	k := key.pack()
	stored, err := m.lock(ctx, k)
	if err != nil {
		return err
	}
	defer m.unlock(k)
	entry := unpack(stored)
	tx := new(MemoryTx)
	next, keep, err := work(ctx, tx, entry)
	if err != nil {
		return err
	}
	if !next.Equal(entry) {
		m.store(k, next.pack())
	}
	if keep {
		for _, commit := range tx.commits {
			commit()
		}
	}
	return nil
}

func (m *MemoryInbox) store(key string, entry []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = make(map[string][]byte)
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
		if strings.HasPrefix(key, participant+"\x00") && unpack(entry).Updated.Before(before) {
			delete(m.entries, key)
			removed++
		}
	}
	return removed, nil
}

// pack encodes the key as one string. No name contains a zero byte.
func (k StepKey) pack() string {
	return k.Participant + "\x00" + string(k.Saga) + "\x00" + k.Birth.String() + "\x00" + string(k.Step)
}

// pack encodes an entry for unpack.
func (e Entry) pack() []byte {
	b := make([]byte, 0, 32+len(e.Do.Reason)+len(e.Do.Data)+len(e.Undo.Reason)+len(e.Undo.Data))
	b = binary.AppendVarint(b, e.Updated.UnixMilli())
	for _, a := range []*Answer{&e.Do, &e.Undo} {
		b = appendField(b, a.Outcome)
		b = appendField(b, a.Reason)
		b = appendField(b, a.Data)
	}
	return b
}

func appendField[T ~string | ~[]byte](b []byte, field T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

// unpack decodes the result of pack. Empty input gives the zero Entry. The entry's data shares
// memory with b.
func unpack(b []byte) (e Entry) {
	if len(b) == 0 {
		return e
	}
	ms, n := binary.Varint(b)
	e.Updated = time.UnixMilli(ms).UTC()
	b = b[n:]
	field := func() (f []byte) {
		size, n := binary.Uvarint(b)
		end := n + int(size)
		f, b = b[n:end:end], b[end:]
		return f
	}
	for _, a := range []*Answer{&e.Do, &e.Undo} {
		a.Outcome, a.Reason, a.Data = contract.Outcome(field()), string(field()), field()
	}
	return e
}

// lock waits until the key is unlocked, locks it, and returns its entry.
func (m *MemoryInbox) lock(ctx context.Context, key string) ([]byte, error) {
	for {
		m.mu.Lock()
		free, busy := m.busy[key]
		if !busy {
			if m.busy == nil {
				m.busy = make(map[string]chan struct{})
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
			return nil, ctx.Err()
		}
	}
}

func (m *MemoryInbox) unlock(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if free := m.busy[key]; free != nil {
		close(free)
	}
	delete(m.busy, key)
}

var _ Inbox[*MemoryTx] = (*MemoryInbox)(nil)
