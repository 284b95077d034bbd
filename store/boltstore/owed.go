package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
)

// Pending implements store.Store. It reads in batches, each in its own transaction, and calls yield
// outside the transactions.
func (s *Store) Pending(ctx context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error {
	from := owedKey(to, after.Commit, int(after.Index)) // the key after which to continue
	for {
		records, places, last, err := s.owedBatch(ctx, to, from)
		if err != nil {
			return err
		}
		for i := range records {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !yield(places[i], records[i]) {
				return nil
			}
		}
		if last == nil {
			return nil
		}
		from = last
	}
}

// owedBatch reads the records for a destination after a key. last is the key of the last record
// that was read, or nil after the final batch.
func (s *Store) owedBatch(ctx context.Context, to outbox.Destination, behind []byte) (records []outbox.Record, places []outbox.Position, last []byte, err error) {
	prefix := append([]byte(to), 0)
	err = s.view(ctx, func(tx *bolt.Tx) error {
		c := tableOwed.bucket(tx).Cursor()
		k, v := c.Seek(behind)
		if k != nil && bytes.Equal(k, behind) {
			k, v = c.Next()
		}
		n, size := 0, 0
		for ; bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if n++; n > owedBatch || size > owedBytes {
				return nil
			}
			last = bytes.Clone(k)
			record, owed, err := s.readOwed(tx, k, v)
			if err != nil {
				s.report(err)
				continue
			}
			if owed {
				_, place := parseOwedKey(k)
				records, places = append(records, record), append(places, place)
				size += len(record.Envelope.Data)
			}
		}
		last = nil
		return nil
	})
	return records, places, last, err
}

// Destinations implements store.Store. The counts may include recently discarded records, at most
// as many as are deleted together.
func (s *Store) Destinations(ctx context.Context) (map[outbox.Destination]int, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := maps.Clone(s.owing)
	maps.DeleteFunc(counts, func(_ outbox.Destination, n int) bool { return n <= 0 })
	return counts, nil
}

// countOwed counts the records of tableOwed. It omits a record with a damaged key, because the
// record's destination is unknown.
func (s *Store) countOwed(tx *bolt.Tx) {
	clear(s.owing)
	c := tableOwed.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if !tableOwed.intact(k, v) {
			s.report(tableOwed.corrupt(k, "the checksum of its key is wrong"))
			continue
		}
		to, _ := parseOwedKey(k)
		s.owing[to]++
	}
}

// readOwed decodes an outbox record if it is pending: its saga's head refers to it, and it is not
// discarded.
func (s *Store) readOwed(tx *bolt.Tx, k, v []byte) (record outbox.Record, owed bool, err error) {
	o, h, err := s.openOwed(tx, k, v)
	if err != nil || h == nil {
		return record, false, err
	}
	s.mu.Lock()
	_, settled := s.unsettle[o.id]
	s.mu.Unlock()
	if settled {
		return record, false, nil
	}
	to, _ := parseOwedKey(k)
	record, err = s.completeOwed(tx, o, to, h)
	return record, err == nil, err
}

// completeOwed decodes the rest of a record. h is the head of the saga that enqueued the record.
func (s *Store) completeOwed(tx *bolt.Tx, o stored, to outbox.Destination, h *head) (outbox.Record, error) {
	record, err := o.read(s.options.Keys, to, func() ([]byte, error) {
		b, err := s.loadBirth(tx, o.id.Saga, h)
		return b.Input, err
	})
	if err != nil {
		return record, &store.CorruptError{What: fmt.Sprintf("outbox record %s", o.id), Why: err.Error(), Saga: o.id.Saga}
	}
	return record, nil
}

// openOwed decodes a record's id and returns its saga's head if the head refers to the record. A
// nil head means that the record is not pending.
func (s *Store) openOwed(tx *bolt.Tx, k, v []byte) (stored, *head, error) {
	body, err := tableOwed.open(k, v)
	if err != nil {
		return stored{}, nil, err
	}
	o, err := parseOwed(body, v[0] == frameSealed)
	if err != nil {
		return o, nil, tableOwed.corrupt(k, err.Error())
	}
	h, _, err := s.loadHead(tx, o.id.Saga)
	switch {
	case errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrEnded):
		return o, nil, nil
	case err != nil:
		return o, nil, fmt.Errorf("it is unknown whether outbox record %s is still pending: %w", o.id, err)
	}
	to, place := parseOwedKey(k)
	for _, d := range h.debts {
		if d.seq != place.Commit || d.place != place.Index || d.to != to {
			continue
		}
		o.id.Birth = h.born()
		if named := d.id(o.id.Saga, &h); named != o.id {
			return o, nil, tableOwed.corrupt(k, fmt.Sprintf("it holds record %s instead of %s", o.id, named))
		}
		return o, &h, nil
	}
	// The record is discarded and not yet swept, or it has the position of a different record; then
	// loadEntry returns an error.
	_, err = s.loadEntry(tx, o.id.Saga, place.Commit)
	return o, nil, err
}

// Shared implements store.Store. It returns false, because one process locks the file.
func (s *Store) Shared() bool { return false }

// Discard implements store.Store. A later transaction deletes the records: when their saga changes,
// or when many records are discarded. Until then Pending skips them.
func (s *Store) Discard(ctx context.Context, ids []outbox.ID) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	for _, id := range ids {
		s.unsettle[id] = struct{}{}
	}
	full := len(s.unsettle) >= MaxUndiscarded
	s.mu.Unlock()
	if !full {
		return nil
	}
	return s.write(ctx, func(*group) error { return nil })
}

// sweepLeftovers deletes outbox records that no head refers to: those that were discarded but not
// yet swept before a crash. It keeps damaged records.
func (s *Store) sweepLeftovers() error {
	var places [][]byte
	err := s.db.View(func(tx *bolt.Tx) error {
		c := tableOwed.bucket(tx).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if _, h, err := s.openOwed(tx, k, v); err == nil && h == nil {
				places = append(places, bytes.Clone(k))
			}
		}
		return nil
	})
	if err == nil && len(places) > 0 {
		err = s.db.Update(func(tx *bolt.Tx) error { return s.newGroup(tx).sweep(places) })
	}
	if err != nil {
		return err
	}
	return s.db.View(func(tx *bolt.Tx) error { s.countOwed(tx); return nil })
}
