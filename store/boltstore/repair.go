package boltstore

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/protoconv"
)

// derived are the tables that follow from the heads of the sagas.
var derived = []table{tableIndex, tableTimers, tableExpiry, tablePending, tableCounts}

// repair makes the derived tables again if a row of them is damaged. A message whose row is damaged is
// lost; its saga repeats it when it is not answered in time.
func (s *Store) repair() error {
	damaged := false
	err := s.db.View(func(tx *bolt.Tx) error {
		for _, t := range derived {
			err := t.bucket(tx).ForEach(func(k, v []byte) error {
				if _, err := t.open(k, v); err != nil {
					s.report(err)
					damaged = true
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !damaged {
		return err
	}
	return s.db.Update(s.rebuild)
}

// rebuild does the work of repair: it keeps the intact rows, and adds those that sagas lack.
func (s *Store) rebuild(tx *bolt.Tx) error {
	for _, t := range derived {
		if err := t.remake(tx); err != nil {
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
		for _, r := range rows(id, h) {
			if r.table == tableIDs || r.table == tablePending || r.table.bucket(tx).Get(r.key) != nil {
				continue
			}
			if err := r.table.put(tx, r.key, r.body); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.recount(tx)
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
