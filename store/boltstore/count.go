package boltstore

import (
	"encoding/binary"

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

// readCounts reads the counts.
func (s *Store) readCounts() error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tableCounts.bucket(tx).ForEach(func(k, v []byte) error {
			body, err := tableCounts.open(k, v)
			t, ok := parseTally(k)
			n, size := binary.Varint(body)
			switch {
			case err == nil && (!ok || size <= 0):
				err = tableCounts.corrupt(k, "it cannot be read")
			case err == nil:
				s.counts[t] = int(n)
			}
			return err
		})
	})
}

// recount counts the sagas in the index and the pending messages.
func (s *Store) recount(tx *bolt.Tx) error {
	clear(s.counts)
	err := tableIndex.bucket(tx).ForEach(func(k, v []byte) error {
		body, err := tableIndex.open(k, v)
		l := indexLine(&entry{key: k, body: body})
		s.counts[tally{ref: l.ref, class: l.class}]++
		return err
	})
	if err != nil {
		return err
	}
	err = tablePending.bucket(tx).ForEach(func(k, _ []byte) error {
		to, _ := parsePendingKey(k)
		s.counts[tally{to: to}]++
		return nil
	})
	if err != nil {
		return err
	}
	if err := tableCounts.clear(tx); err != nil {
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
		if err != nil { // the next Open finds the damage, and repairs it
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
