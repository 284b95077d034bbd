package logstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// errChanged means that a damaged saga has changed since its rows were found.
var errChanged = fmt.Errorf("the saga has changed in the meantime: %w", store.ErrConflict)

// maxRemovals bounds the attempts of RemoveDamaged. A saga whose history is damaged can change while
// its rows are being looked for.
const maxRemovals = 3

// RemoveDamaged implements store.Store. First it replaces the saga's rows in bbolt with those of the
// tombstone: damage is repaired where it is. Then it commits the tombstone.
func (s *Store) RemoveDamaged(ctx context.Context, id contract.SagaID, removal store.Removal) (store.Removed, error) {
	var err error
	for range maxRemovals {
		if err := s.requestCheckpoint(ctx); err != nil { // so that bbolt holds what there is of the saga
			return store.Removed{}, err
		}
		t := &remains{id: id}
		if err := s.view(ctx, t.find); err != nil {
			return store.Removed{}, err
		}
		err = s.write(ctx, func(g *group) error { return g.removeDamaged(t, removal) })
		if err == nil {
			s.counters.fixed(id)
			return t.removed, nil
		}
		if !errors.Is(err, errChanged) {
			break
		}
	}
	return store.Removed{}, of(id, err)
}

// removeDamaged replaces a damaged saga with a tombstone.
func (g *group) removeDamaged(t *remains, removal store.Removal) error {
	s := g.s
	s.mu.Lock()
	o := s.overlay.sagas[t.id]
	if s.generation.Load() != t.generation || o != nil && (len(o.items) > 0 || o.held) {
		s.mu.Unlock()
		return errChanged
	}
	if o != nil {
		s.overlay.remove(o)
	}
	s.generation.Add(1) // what readers have seen of the saga is no longer true
	s.mu.Unlock()
	item := s.buried(t.id, &amendsv1.Tombstone{
		Class: uint32(store.ClassAbandoned), Start: t.digest[:], Definition: protoconv.Ref(t.ref), StartedUnixNano: t.started,
		EndedUnixNano: nano(removal.At),
		Removal:       &amendsv1.Removal{AtUnixNano: nano(removal.At), By: removal.By, Reason: removal.Reason, Damage: t.damage.Error()},
	})
	stored := &saga{id: t.id, items: []*amendsv1.LogItem{item}}
	item.Head.At = s.item // so that replay applies what comes later, the committed tombstone too
	err := guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			for _, r := range t.rows {
				if err := r.table.delete(tx, r.key); err != nil {
					return err
				}
			}
			self := new(amendsv1.StoreRow) // its last item must not be below the tombstone's
			body, err := tableMeta.get(tx, []byte(metaSelf))
			if err = errors.Join(err, protoconv.Unmarshal(body, self)); err != nil {
				return err
			}
			self.LastItem = max(self.LastItem, s.item)
			return errors.Join(putSelf(tx, self), stored.write(tx), addCounts(tx, t.counts))
		})
	})
	if isFull(err) {
		return err
	}
	if err != nil {
		return errors.Join(errStructure, err)
	}
	s.mu.Lock()
	for tally, n := range t.counts {
		s.count(tally, n)
	}
	s.mu.Unlock()
	if _, err := g.enter(t.id); err != nil {
		return err
	}
	item.Head.At = 0
	g.add(item)
	return nil
}

// remains is everything that can be found of a damaged saga.
type remains struct {
	id      contract.SagaID
	damage  error
	started int64 // 0: unknown
	ref     contract.DefinitionRef
	digest  machine.StartDigest
	rows    []row
	counts  map[tally]int // what the counts lose with it
	removed store.Removed

	generation uint64 // of the overlay, when all this was found
}

// find finds what is left of the saga, in all tables, because the damaged row may be the one that leads
// to the others. It returns an error if the saga is not damaged, or if there is nothing of it.
func (t *remains) find(w *window) (err error) {
	*t = remains{id: t.id, counts: map[tally]int{}, generation: w.generation}
	if t.damage, err = damageOf(w, t.id); err != nil {
		return err
	}
	for _, one := range []struct {
		table table
		owns  func(t *remains, k, v []byte) bool
	}{
		{tableIDs, (*remains).ownsID}, {tableIndex, (*remains).ownsIndex}, {tablePending, (*remains).ownsPending},
		{tableTimers, func(t *remains, k, _ []byte) bool { _, id, ok := parseTimeKey(0, k); return ok && id == t.id }},
		{tableExpiry, func(t *remains, k, _ []byte) bool { _, id, ok := parseTimeKey(1, k); return ok && id == t.id }},
	} {
		c := one.table.bucket(w.tx).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if one.owns(t, k, v) {
				t.rows = append(t.rows, row{table: one.table, key: bytes.Clone(k)})
			}
		}
	}
	if t.started != 0 {
		prefix := sagaPrefix(t.started, t.id)
		c := tableSagas.bucket(w.tx).Cursor()
		for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			t.rows = append(t.rows, row{table: tableSagas, key: bytes.Clone(k)})
		}
		start := &content{w: w, id: t.id, head: &head{StartedUnixNano: t.started}, inBolt: true}
		start.owner = ownerOf(t.id, start.head)
		if digest, _, err := start.first(); err == nil {
			t.digest = digest
		}
	}
	if len(t.rows) == 0 { // a neighbour's damaged key hides whether the saga exists
		return t.damage
	}
	return nil
}

// damageOf returns the damage of a saga. err is set if the saga is not damaged or does not exist.
func damageOf(w *window, id contract.SagaID) (damage, err error) {
	c, err := w.content(id)
	if err == nil {
		var in *machine.Instance
		switch in, err = c.state(); {
		case err == nil && in.Open():
			return nil, fmt.Errorf("saga %s: %w: the saga can be read, and continues", id, store.ErrNotDamaged)
		case err == nil:
			if _, err = c.history(1, int(c.head.Revision)); err == nil {
				return nil, fmt.Errorf("saga %s: %w: the saga has ended, and retention will remove it", id, store.ErrNotDamaged)
			}
		}
	}
	if !errors.Is(err, store.ErrCorrupt) {
		return nil, err
	}
	return err, nil
}

func (t *remains) ownsID(k, v []byte) bool {
	lost := !tableIDs.intact(k, v) && len(v) >= frameSize && binary.BigEndian.Uint32(v[1:]) == tableIDs.keySum([]byte(t.id))
	if string(k) != string(t.id) && !lost {
		return false
	}
	if body, err := tableIDs.open([]byte(t.id), v); err == nil && len(body) == 8 {
		t.started = unsortable(binary.BigEndian.Uint64(body))
	}
	return true
}

func (t *remains) ownsIndex(k, v []byte) bool {
	l := indexLine(&entry{key: k, body: v[min(frameSize, len(v)):]})
	if l.ID != t.id {
		return false
	}
	if _, err := tableIndex.open(k, v); err == nil {
		t.started, t.ref, t.removed.Open = nano(l.Started), l.ref, l.class.Open()
		t.counts[tally{ref: l.ref, class: l.class}]--
	}
	return true
}

func (t *remains) ownsPending(k, v []byte) bool {
	body, err := tablePending.open(k, v)
	m := new(amendsv1.PendingRow)
	if err != nil || protoconv.Unmarshal(body, m) != nil || m.Saga != string(t.id) {
		return false
	}
	to, _ := parsePendingKey(k)
	t.counts[tally{to: to}]--
	t.removed.Discarded = append(t.removed.Discarded, outbox.ID{
		Saga: t.id, Birth: contract.BirthOf(instant(m.StartedUnixNano)), Revision: m.Revision, Index: uint16(m.Index),
	})
	return true
}
