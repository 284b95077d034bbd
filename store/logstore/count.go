package logstore

import (
	"encoding/binary"
	"errors"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
	bolt "go.etcd.io/bbolt"
)

// tally is what is counted: the sagas of one definition in one class, or, if class is 0, the messages
// that are pending for one destination.
type tally struct {
	ref   contract.DefinitionRef
	class store.Class
	to    outbox.Destination
}

func (t tally) key() []byte {
	if t.class == 0 {
		return append([]byte{countPending}, t.to...)
	}
	return append([]byte{countSagas, byte(t.class)}, refKey(t.ref)...)
}

func parseTally(k []byte) (t tally, ok bool) {
	switch {
	case len(k) > 0 && k[0] == countPending:
		return tally{to: outbox.Destination(k[1:])}, true
	case len(k) > 2 && k[0] == countSagas && k[1] > 0:
		t.class = store.Class(k[1])
		t.ref, ok = parseRefKey(k[2:])
	}
	return t, ok
}

// readCounts reads the counts. If one is damaged, it counts again.
func (s *Store) readCounts() error {
	var damage error
	err := s.db.View(func(tx *bolt.Tx) error {
		return tableCounts.bucket(tx).ForEach(func(k, v []byte) error {
			t, ok := parseTally(k)
			body, err := tableCounts.open(k, v)
			n, size := binary.Varint(body)
			switch {
			case err != nil:
				damage = err
			case !ok || size <= 0:
				damage = tableCounts.corrupt(k, "it cannot be read")
			}
			s.counts[t] = int(n)
			return nil
		})
	})
	if err != nil || damage == nil {
		return err
	}
	s.report(damage)
	if s.options.readOnly {
		return nil
	}
	return s.db.Update(s.recount)
}

// recount counts again, from the index and the pending messages.
func (s *Store) recount(tx *bolt.Tx) error {
	clear(s.counts)
	each := func(t table, add func(k, body []byte)) error {
		return t.bucket(tx).ForEach(func(k, v []byte) error {
			body, err := t.open(k, v)
			if err != nil {
				s.report(err)
				return nil
			}
			add(k, body)
			return nil
		})
	}
	err := errors.Join(
		each(tableIndex, func(k, body []byte) {
			l := indexLine(&entry{key: k, body: body})
			s.counts[tally{ref: l.ref, class: l.class}]++
		}),
		each(tablePending, func(k, _ []byte) {
			to, _ := parsePendingKey(k)
			s.counts[tally{to: to}]++
		}),
		tx.DeleteBucket([]byte(tableCounts.String())),
	)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket([]byte(tableCounts.String())); err != nil {
		return err
	}
	return addCounts(tx, s.counts)
}

// addCounts adds to the stored counts.
func addCounts(tx *bolt.Tx, counts map[tally]int) error {
	for t, n := range counts {
		if n == 0 {
			continue
		}
		key := t.key()
		body, err := tableCounts.get(tx, key)
		if err != nil { // the next Open finds the damage, and counts again
			continue
		}
		stored, _ := binary.Varint(body)
		if n += int(stored); n == 0 {
			err = tableCounts.delete(tx, key)
		} else {
			err = tableCounts.put(tx, key, binary.AppendVarint(nil, int64(n)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// count adds to a count. Store.mu is locked.
func (s *Store) count(t tally, n int) {
	if s.counts[t] += n; s.counts[t] == 0 {
		delete(s.counts, t)
	}
}
