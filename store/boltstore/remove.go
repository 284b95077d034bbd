package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// RemoveDamaged implements store.Store. It looks for the saga's rows in all tables, because the damaged
// row may be the one that leads to the others; commits the tombstone; and writes a checkpoint, which
// deletes the rows.
func (s *Store) RemoveDamaged(ctx context.Context, id contract.SagaID, removal store.Removal) (store.Removed, error) {
	t := &remains{id: id}
	err := s.view(ctx, t.find)
	if err == nil {
		err = s.write(ctx, func(g *group) error { return g.removeDamaged(t, removal) })
	}
	if err != nil {
		return store.Removed{}, withSaga(id, err)
	}
	s.counters.fixed(id)
	if err := s.Checkpoint(ctx); !boltfile.IsFull(err) {
		return t.removed, err
	}
	return t.removed, nil // the tombstone is in the log; the checkpoint that deletes the rows follows when there is room
}

// removeDamaged replaces a damaged saga with a tombstone.
func (g *group) removeDamaged(t *remains, removal store.Removal) error {
	h, err := g.enter(t.id)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	if h.GetAt() != t.at {
		return fmt.Errorf("the saga has changed in the meantime, try again: %w", store.ErrConflict)
	}
	g.add(g.s.tombstoneItem(t.id, &amendsv1.Tombstone{
		Class: uint32(store.ClassAbandoned), Start: t.digest[:], Definition: protoconv.Ref(t.ref), StartedUnixNano: t.started,
		EndedUnixNano: nano(removal.At),
		Removal: &amendsv1.Removal{
			AtUnixNano: nano(removal.At), By: removal.By, Reason: removal.Reason, Damage: t.damage.Error(),
		},
	}))
	return nil
}

// remains is everything that can be found of a damaged saga.
type remains struct {
	id      contract.SagaID
	damage  error
	at      uint64 // of the head; 0 if it cannot be read
	started int64  // 0: unknown
	ref     contract.DefinitionRef
	digest  machine.StartDigest
	rows    []row
	counts  map[tally]int // what the counts lose with the rows
	removed store.Removed
}

// find finds what is left of the saga. It returns an error if the saga is not damaged, or if there is
// nothing of it.
func (t *remains) find(w *window) (err error) {
	*t = remains{id: t.id}
	if t.damage, err = damageOf(w, t.id); err != nil {
		return err
	}
	t.scan(w.tx)
	s, err := w.find(t.id)
	switch {
	case err == nil:
		t.remember(s)
	case !errors.Is(err, store.ErrCorrupt):
		return err
	case len(t.rows) == 0: // a neighbour's damaged key hides whether the saga exists
		return t.damage
	}
	start := &content{w: w, id: t.id, head: &head{StartedUnixNano: t.started}, inBolt: true}
	start.owner = ownerOf(t.id, start.head)
	if digest, _, err := start.first(); err == nil {
		t.digest = digest
	}
	return nil
}

// remember takes what the head tells, which is newer than what the rows tell.
func (t *remains) remember(s *saga) {
	h := s.head()
	t.at, t.started, t.ref = h.At, h.StartedUnixNano, protoconv.FromRef(h.Definition)
	t.removed = store.Removed{Open: store.Class(h.Class).Open()}
	for _, p := range h.Pending {
		t.removed.Discarded = append(t.removed.Discarded, s.owner().idOf(p))
	}
}

// scan finds the saga's rows in all tables.
func (t *remains) scan(tx *bolt.Tx) {
	t.counts = map[tally]int{}
	for _, one := range []struct {
		table table
		owns  func(t *remains, k, v []byte) bool
	}{
		{tableIDs, (*remains).ownsID}, {tableIndex, (*remains).ownsIndex}, {tablePending, (*remains).ownsPending},
		{tableTimers, func(t *remains, k, _ []byte) bool { _, id, ok := parseTimeKey(0, k); return ok && id == t.id }},
		{tableExpiry, func(t *remains, k, _ []byte) bool { _, id, ok := parseTimeKey(1, k); return ok && id == t.id }},
	} {
		c := one.table.bucket(tx).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if one.owns(t, k, v) {
				t.rows = append(t.rows, row{table: one.table, key: bytes.Clone(k)})
			}
		}
	}
	if t.started == 0 {
		return
	}
	prefix := sagaPrefix(t.started, t.id)
	c := tableSagas.bucket(tx).Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		t.rows = append(t.rows, row{table: tableSagas, key: bytes.Clone(k)})
	}
}

// sweep deletes the rows of a saga that could not be read when it was replaced.
func (t *remains) sweep(tx *bolt.Tx, add func(tally, int)) error {
	if err := tableSagas.dropUnfindable(tx); err != nil { // they hide rows that can be found afterwards
		return err
	}
	t.scan(tx)
	for _, r := range t.rows {
		if err := r.table.delete(tx, r.key); err != nil {
			return err
		}
	}
	for count, n := range t.counts {
		add(count, n)
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
