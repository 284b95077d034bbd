package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/outbox/outboxpb"
	"github.com/amends-dev/amends/store"
)

// Owed implements store.Store. It reads in batches, each in a transaction of
// its own, and calls yield between them.
func (s *Store) Owed(ctx context.Context, after outbox.ID, yield func(outbox.Record) bool) error {
	var from []byte // the key to go on behind
	if after != (outbox.ID{}) {
		from = outboxKey(after)
	}
	for {
		records, last, err := s.owedBatch(ctx, from)
		if err != nil {
			return err
		}
		for i := range records {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !yield(records[i]) {
				return nil
			}
		}
		if last == nil {
			return nil
		}
		from = last
	}
}

// owedBatch reads the records behind a key; last is nil at the end.
func (s *Store) owedBatch(ctx context.Context, behind []byte) (records []outbox.Record, last []byte, err error) {
	s.mu.Lock()
	settled := maps.Clone(s.unsettle)
	s.mu.Unlock()
	err = s.view(ctx, func(tx *bolt.Tx) error {
		places := tableOwed.bucket(tx)
		c := tableOutbox.bucket(tx).Cursor()
		k, v := c.Seek(behind)
		if k != nil && bytes.Equal(k, behind) {
			k, v = c.Next()
		}
		for n := 0; k != nil; k, v = c.Next() {
			if n++; n > owedBatch {
				return nil
			}
			last = bytes.Clone(k)
			id, record, err := s.readOwed(places, k, v)
			if err != nil {
				s.report(err)
				continue
			}
			if _, gone := settled[id]; !gone {
				records = append(records, record)
			}
		}
		last = nil
		return nil
	})
	return records, last, err
}

func (s *Store) readOwed(places *bolt.Bucket, k, v []byte) (id outbox.ID, record outbox.Record, err error) {
	place, err := tableOutbox.open(k, v)
	if err != nil {
		return id, record, err
	}
	id, ok := parseOutboxKey(k)
	if !ok {
		return id, record, tableOutbox.corrupt(k, "its key cannot be read")
	}
	body, sealed, err := tableOwed.find(places, place)
	if err != nil {
		return id, record, err
	}
	what := fmt.Sprintf("outbox record %s", id)
	if body == nil {
		return id, record, &store.CorruptError{What: what, Why: "its message is missing"}
	}
	if body, err = s.options.Keys.opening(sealed, "owed", string(k), 0, body); err != nil {
		return id, record, &store.CorruptError{What: what, Why: err.Error()}
	}
	record, err = outboxpb.UnmarshalRecord(body)
	if err != nil {
		return id, record, &store.CorruptError{What: what, Why: err.Error()}
	}
	if record.ID != id {
		return id, record, &store.CorruptError{What: what, Why: fmt.Sprintf("it holds record %s", record.ID)}
	}
	return id, record, nil
}

// Settle implements store.Store. The records are removed by the next
// transaction that is written anyway; Owed passes them over until then.
func (s *Store) Settle(ctx context.Context, ids []outbox.ID) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.round++
	for _, id := range ids {
		s.unsettle[id] = s.round
	}
	crashpoint.Here("boltstore: settled in memory")
	full := len(s.unsettle) >= MaxUnsettled
	s.mu.Unlock()
	if !full {
		return nil
	}
	return s.write(ctx, func(*group) error { return nil })
}

// takeSettled copies what is settled and not yet written.
func (s *Store) takeSettled() map[outbox.ID]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.unsettle)
}
