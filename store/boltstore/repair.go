package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/protoconv"
)

// derived are the tables that follow from the heads of the sagas.
var derived = []table{tableIDs, tableIndex, tableTimers, tableExpiry, tablePending, tableCounts}

// repair makes the derived tables again if a row of them is damaged. A message whose row is damaged is
// lost; its saga repeats it when it is not answered in time. If the file is small, repair also removes the
// rows of sagas whose keys are damaged.
//
// Nothing may be written to a table with a damaged key: bbolt would put it between keys that are out of
// order, and rows beside it could no longer be found. A saga of which neither the row of the table ids nor
// the head can be found would then seem not to exist, so such a store is refused.
func (s *Store) repair() error {
	found := false
	err := s.db.View(func(tx *bolt.Tx) error {
		scanned := derived
		if tx.Size() <= unfindableLimit {
			scanned = append(slices.Clone(derived), tableSagas)
		}
		for _, t := range scanned {
			err := t.bucket(tx).ForEach(func(k, v []byte) error {
				if t == tableSagas && t.intact(k, v) {
					return nil // a damaged body is found when the saga is read
				}
				if _, err := t.open(k, v); err != nil {
					s.report(err)
					found = true
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !found {
		return err
	}
	return s.db.Update(s.rebuild)
}

// rebuild does the work of repair: it keeps the intact rows, and adds those that sagas lack.
func (s *Store) rebuild(tx *bolt.Tx) error {
	if err := tableSagas.dropUnfindable(tx); err != nil {
		return err
	}
	missing := lostIDs(tx)
	for _, t := range derived {
		keep := func(k, v []byte) bool {
			_, err := t.open(k, v)
			return err == nil
		}
		if t == tableIDs {
			keep = t.intact // its saga is damaged, and known
		}
		if err := t.remake(tx, keep); err != nil {
			return err
		}
	}
	err := tableSagas.bucket(tx).ForEach(func(k, v []byte) error {
		id, part, ok := parsePartKey(k)
		h := new(head)
		body, err := tableSagas.open(k, v)
		if !ok || part != partHead || err != nil || protoconv.Unmarshal(body, h) != nil {
			return nil // the saga is damaged, which is found when it is read
		}
		for _, r := range rows(id, h, nil) {
			if r.table == tablePending {
				continue
			}
			known := r.table.bucket(tx).Get(r.key) != nil
			if _, err := r.table.get(tx, r.key); known && err == nil {
				continue
			}
			if err := r.table.put(tx, r.key, r.body); err != nil {
				return err
			}
			if r.table == tableIDs && !known {
				missing.found(r.key)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n := missing.count(); n > 0 {
		return boltfile.Damaged(fmt.Errorf("%s cannot be read, neither in table %s nor in table %s",
			plural.Of(n, "id of a saga", "ids of sagas"), tableIDs, tableSagas))
	}
	return s.recount(tx)
}

// missingIDs counts the rows of the table ids whose keys are damaged and that no id is known for.
type missingIDs struct {
	sums  map[uint32]int // by the checksum of the key that they had
	other int            // ids that were found and that no checksum names: of rows that are damaged entirely
}

func lostIDs(tx *bolt.Tx) *missingIDs {
	l := &missingIDs{sums: map[uint32]int{}}
	var intact [][]byte
	c := tableIDs.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		switch {
		case tableIDs.intact(k, v):
			intact = append(intact, k)
		case len(v) >= frameSize:
			l.sums[binary.BigEndian.Uint32(v[1:])]++
		default:
			l.other--
		}
	}
	for _, k := range intact { // such as that of a saga that was removed because of the damage
		if sum := tableIDs.keySum(k); l.sums[sum] > 0 {
			l.sums[sum]--
		}
	}
	return l
}

// found counts an id that has been found.
func (l *missingIDs) found(id []byte) {
	if sum := tableIDs.keySum(id); l.sums[sum] > 0 {
		l.sums[sum]--
	} else {
		l.other++
	}
}

func (l *missingIDs) count() int {
	n := -l.other
	for _, rows := range l.sums {
		n += rows
	}
	return n
}

// remake makes a table again, with the rows to keep as they are. A row with a damaged key can be deleted no
// other way: it is out of order, so bbolt does not find it.
func (t table) remake(tx *bolt.Tx, keep func(k, v []byte) bool) error {
	var kept [][2][]byte
	c := t.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if keep(k, v) {
			kept = append(kept, [2][]byte{bytes.Clone(k), bytes.Clone(v)})
		}
	}
	if err := t.clear(tx); err != nil {
		return err
	}
	for _, r := range kept {
		if err := t.bucket(tx).Put(r[0], r[1]); err != nil {
			return fmt.Errorf("put into %s: %w", t, err)
		}
	}
	return nil
}

// dropUnfindable makes a table again without the rows whose keys are damaged, if there are any. It leaves
// the table of a large file as it is; Verify then goes on reporting these rows.
func (t table) dropUnfindable(tx *bolt.Tx) error {
	if tx.Size() > unfindableLimit {
		return nil
	}
	c := t.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if !t.intact(k, v) {
			return t.remake(tx, t.intact)
		}
	}
	return nil
}

// clear deletes all rows of a table.
func (t table) clear(tx *bolt.Tx) error {
	err := tx.DeleteBucket([]byte(t.String()))
	if err == nil {
		_, err = tx.CreateBucket([]byte(t.String()))
	}
	if err != nil {
		return fmt.Errorf("clear table %s: %w", t, err)
	}
	return nil
}
