package boltstore

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/protoconv"
)

// derived are the tables that follow from the heads of the sagas.
var derived = []table{tableIDs, tableIndex, tableTimers, tableExpiry, tablePending, tableCounts}

// repair makes the derived tables again if a row of them is damaged. A message whose row is damaged is
// lost; its saga repeats it when it is not answered in time.
//
// Nothing may be written to a table with a damaged key: bbolt would put it between keys that are out of
// order, and rows beside it could no longer be found. A saga whose row of the table ids and whose head
// are both damaged would then seem not to exist, so such a store is refused.
func (s *Store) repair() error {
	damagedRows := map[table]int{}
	err := s.db.View(func(tx *bolt.Tx) error {
		for _, t := range derived {
			err := t.bucket(tx).ForEach(func(k, v []byte) error {
				if _, err := t.open(k, v); err != nil {
					s.report(err)
					damagedRows[t]++
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(damagedRows) == 0 {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		found, err := s.rebuild(tx)
		if lost := damagedRows[tableIDs] - found; err == nil && lost > 0 {
			return boltfile.Damaged(fmt.Errorf("%s cannot be read, neither in table %s nor in table %s",
				plural.Of(lost, "id of a saga", "ids of sagas"), tableIDs, tableSagas))
		}
		return err
	})
}

// rebuild does the work of repair: it keeps the intact rows, and adds those that sagas lack. It returns how
// many ids it has added.
func (s *Store) rebuild(tx *bolt.Tx) (ids int, err error) {
	for _, t := range derived {
		if err := t.remake(tx); err != nil {
			return 0, err
		}
	}
	err = tableSagas.bucket(tx).ForEach(func(k, v []byte) error {
		id, part, ok := parsePartKey(k)
		h := new(head)
		body, err := tableSagas.open(k, v)
		if !ok || part != partHead || err != nil || protoconv.Unmarshal(body, h) != nil {
			return nil // the saga is damaged, which is found when it is read
		}
		for _, r := range rows(id, h) {
			if r.table == tablePending || r.table.bucket(tx).Get(r.key) != nil {
				continue
			}
			if err := r.table.put(tx, r.key, r.body); err != nil {
				return err
			}
			if r.table == tableIDs {
				ids++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return ids, s.recount(tx)
}

// remake makes a table again, with its intact rows. A row with a damaged key cannot be deleted: it is out
// of order, so bbolt does not find it.
func (t table) remake(tx *bolt.Tx) error {
	var intact []row
	c := t.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if body, err := t.open(k, v); err == nil {
			intact = append(intact, row{t, bytes.Clone(k), bytes.Clone(body)})
		}
	}
	if err := t.clear(tx); err != nil {
		return err
	}
	for _, r := range intact {
		if err := t.put(tx, r.key, r.body); err != nil {
			return err
		}
	}
	return nil
}

// dropUnfindable makes a table again without the rows whose keys are damaged, if there are any: bbolt can
// delete them no other way. It leaves the table of a large file as it is; Verify then goes on reporting
// these rows.
func (t table) dropUnfindable(tx *bolt.Tx) error {
	if tx.Size() > unfindableLimit {
		return nil
	}
	var kept [][2][]byte
	lost := false
	c := t.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if t.intact(k, v) {
			kept = append(kept, [2][]byte{bytes.Clone(k), bytes.Clone(v)})
		} else {
			lost = true
		}
	}
	if !lost {
		return nil
	}
	if err := t.clear(tx); err != nil {
		return err
	}
	for _, r := range kept { // with its checksums as they are: the body may be damaged
		if err := t.bucket(tx).Put(r[0], r[1]); err != nil {
			return fmt.Errorf("put into %s: %w", t, err)
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
