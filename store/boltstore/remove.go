package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// RemoveDamaged implements store.Store. It reads the whole file to find the saga's records, because
// the damaged record may be the record that refers to the others. Then it deletes all of them in
// one transaction. While it reads, the file cannot reuse pages.
func (s *Store) RemoveDamaged(ctx context.Context, id contract.SagaID, removal store.Removal) (store.Removed, error) {
	for range maxRemovals {
		t, err := s.trace(ctx, id)
		if err != nil {
			return store.Removed{}, err
		}
		err = s.write(ctx, func(g *group) error { return g.removeDamaged(t, removal) })
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return store.Removed{}, err
		}
		s.counters.fixed(t)
		return t.removed, nil
	}
	return store.Removed{}, fmt.Errorf("saga %s: %w", id, store.ErrConflict)
}

// maxRemovals bounds the attempts of RemoveDamaged. A saga whose history is damaged can change
// while the file is being read.
const maxRemovals = 3

// errMoved means that the saga has changed since its records were found.
var errMoved = errors.New("the saga has changed meanwhile")

// traces holds all records of one saga in the file.
type traces struct {
	id       contract.SagaID
	damage   error // the damage that was found
	revision uint64
	found    []trace
	removed  store.Removed
	stone    store.TombstoneError // the tombstone, filled from the records that are still readable
	tallies  map[tally]int        // changes to the counts that include the saga
	changes  map[uint64]bool      // sequences of its journal records; the value is false until the record is found
}

// trace identifies one record of the saga.
type trace struct {
	table table
	key   []byte
}

// trace finds all records of a damaged saga. It returns an error if the saga is not damaged.
func (s *Store) trace(ctx context.Context, id contract.SagaID) (*traces, error) {
	t := &traces{id: id, tallies: map[tally]int{}, changes: map[uint64]bool{}, stone: store.TombstoneError{Saga: id, Phase: contract.PhaseParked}}
	err := s.view(ctx, func(tx *bolt.Tx) (err error) {
		if t.damage, err = s.damage(tx, id); err != nil {
			return err
		}
		s.remember(tx, t)
		for _, o := range owners {
			if err := t.scan(ctx, tx, o.table, o.owns); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(t.found) == 0 { // a neighbour's damaged key hides whether the saga exists
		return nil, t.damage
	}
	return t, nil
}

// damage returns the damage of a saga. err is set if the saga is not damaged or does not exist.
func (s *Store) damage(tx *bolt.Tx, id contract.SagaID) (damage, err error) {
	in, err := s.load(tx, id)
	if err == nil && in.Open() {
		return nil, fmt.Errorf("saga %s: %w: the saga can be read, and continues", id, store.ErrNotDamaged)
	}
	if err == nil {
		if err = s.wholeHistory(tx, id); err == nil {
			return nil, fmt.Errorf("saga %s: %w: the saga has ended, and retention will remove it", id, store.ErrNotDamaged)
		}
	}
	if !errors.Is(err, store.ErrCorrupt) {
		return nil, err
	}
	return err, nil
}

func (s *Store) wholeHistory(tx *bolt.Tx, id contract.SagaID) error {
	h, _, err := s.loadHead(tx, id)
	if err != nil {
		return err
	}
	entries, err := s.chain(tx, id, &h, 1, h.revision)
	if err != nil {
		return err
	}
	_, err = s.decodeEvents(entries, id, 1, h.revision)
	return err
}

// remember fills the tombstone with the data that is still readable, and notes the journal records
// that the head refers to.
func (s *Store) remember(tx *bolt.Tx, t *traces) {
	h, _, err := s.loadHead(tx, t.id)
	if err != nil {
		return
	}
	t.revision, t.stone.Definition, t.stone.Started, t.removed.Open = h.revision, h.ref, instant(h.started), h.class.Open()
	t.name(h.last, h.birth, h.skip)
	for _, r := range h.results {
		t.name(r.seq)
	}
	if b, err := s.loadBirth(tx, t.id, &h); err == nil {
		t.stone.Start = b.digest
	}
}

// name notes journal records that another record of the saga refers to, so that they are found even
// if they are unreadable. It ignores 0.
func (t *traces) name(sequences ...uint64) {
	for _, seq := range sequences {
		if _, known := t.changes[seq]; seq != 0 && !known {
			t.changes[seq] = false
		}
	}
}

// owners lists, for each table, a function that reports whether a record belongs to the saga. The
// journal comes first, because it identifies the outbox records. It is scanned from its end,
// because later records refer to earlier ones.
var owners = []struct {
	table table
	owns  func(t *traces, k, v []byte) bool
}{
	{tableJournal, func(t *traces, k, v []byte) bool {
		if len(k) != 8 {
			return false
		}
		seq := binary.BigEndian.Uint64(k)
		_, named := t.changes[seq]
		body, err := tableJournal.open(k, v)
		e, wrong := parseEntry(body)
		switch {
		case err != nil || wrong != nil: // an unreadable record belongs to the saga whose record refers to it
			r := reader{b: v[min(frameSize, len(v)):]}
			if !named && string(r.bytes()) != string(t.id) {
				return false
			}
		case e.saga != t.id:
			return false
		default:
			t.name(e.prev, e.skip)
		}
		t.changes[seq] = true
		return true
	}},
	{tableOwed, func(t *traces, k, v []byte) bool {
		_, place := parseOwedKey(k)
		if !t.changes[place.Commit] {
			return false
		}
		if body, err := tableOwed.open(k, v); err == nil {
			if o, err := parseOwed(body, false); err == nil && o.id.Saga == t.id {
				t.removed.Discarded = append(t.removed.Discarded, o.id)
			}
		}
		return true
	}},
	{tableSagas, func(t *traces, k, v []byte) bool {
		lost := !tableSagas.intact(k, v) && len(v) >= frameSize && binary.BigEndian.Uint32(v[1:]) == tableSagas.keySum([]byte(t.id))
		return string(k) == string(t.id) || lost
	}},
	{tableTombstones, func(t *traces, k, _ []byte) bool { return string(k) == string(t.id) }},
	{tableTimers, func(t *traces, k, _ []byte) bool {
		_, id, ok := parseTimeKey(0, k)
		return ok && id == t.id
	}},
	{tableExpiry, func(t *traces, k, _ []byte) bool {
		_, id, ok := parseTimeKey(1, k)
		return ok && id == t.id
	}},
	{tableIndex, func(t *traces, k, v []byte) bool {
		started, id, ok := parseIndexKey(k)
		if !ok || id != t.id {
			return false
		}
		t.stone.Started = instant(started)
		if l, err := parseLine(k, v); err == nil {
			t.tallies[tally{l.ref, store.Class(k[0])}]--
			t.removed.Open = t.removed.Open || store.Class(k[0]).Open()
			t.stone.Definition = l.ref
		}
		return true
	}},
}

// scan finds the saga's records in one table. It scans backwards.
func (t *traces) scan(ctx context.Context, tx *bolt.Tx, of table, owns func(t *traces, k, v []byte) bool) error {
	c := of.cursor(tx)
	n := 0
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		if n++; n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if owns(t, k, v) {
			t.found = append(t.found, trace{of, bytes.Clone(k)})
		}
	}
	return nil
}

// removeDamaged replaces a saga with a tombstone.
func (g *group) removeDamaged(t *traces, removal store.Removal) error {
	damage, err := g.s.damage(g.tx, t.id)
	if err != nil {
		return err
	}
	if h, _, err := g.s.loadHead(g.tx, t.id); err == nil && h.revision != t.revision {
		return errMoved
	}
	for _, one := range t.found {
		there, err := one.table.deleteIf(g.open(one.table).cursor, one.key)
		if err != nil {
			return err
		}
		if to, _ := parseOwedKey(one.key); there && one.table == tableOwed {
			g.owing[to]--
		}
	}
	for tally, n := range t.tallies {
		g.tallies[tally] += n
	}
	for i := range t.removed.Discarded {
		t.removed.Discarded[i].Birth = t.stone.Birth()
		g.takeSettled(t.removed.Discarded[i])
	}
	removal.Damage = damage.Error()
	t.stone.Ended, t.stone.Removal = removal.At, &removal
	keys := g.s.options.Keys
	stone := sealPart(keys, "tombstone", string(t.id), 0, encodeTombstone(&t.stone, store.ClassAbandoned))
	if err := g.putAs(frameFormatOf(keys), tableTombstones, []byte(t.id), stone); err != nil {
		return err
	}
	return g.put(tableExpiry, timeKey(string(rune(expiryTombstone)), nano(removal.At), t.id), nil)
}
