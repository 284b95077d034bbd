package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/outbox/outboxpb"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
)

// tableOutbox was a bucket of the layouts 1 and 2: saga, revision and index of each
// record that is owed, with its place in owed.
var tableOutbox = newTable("outbox", 0.7)

// upgradeStep is how many records one transaction of an upgrade takes.
const upgradeStep = 256

// upgrade turns the layouts 1 and 2 into the present one: what is owed goes into the
// heads of the sagas that owe it. It may die at any moment and goes on at the next Open.
func (s *Store) upgrade() error {
	if s.info.Schema > schemaOutbox {
		return nil
	}
	for done := false; !done; {
		err := s.db.Update(func(tx *bolt.Tx) (err error) {
			done, err = s.upgradeSome(tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("bring the file from layout %d to this release's: %w", s.info.Schema, err)
		}
		crashpoint.Here("boltstore: a step of an upgrade done")
	}
	s.info.Schema += schemaVersion - 1
	return nil
}

// upgradeSome takes some records out of the old bucket. At the end it removes the bucket
// and writes down which layout it is now.
func (s *Store) upgradeSome(tx *bolt.Tx) (done bool, err error) {
	g := s.newGroup(tx)
	var keys [][]byte
	c := tableOutbox.bucket(tx).Cursor()
	for k, _ := c.First(); k != nil && len(keys) < upgradeStep; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := g.upgradeOwed(k); isFatal(err) {
			return false, err
		} else if err != nil {
			s.report(err)
		}
		if err := g.delete(tableOutbox, k); err != nil {
			return false, err
		}
	}
	if len(keys) > 0 {
		return false, nil
	}
	if err := tx.DeleteBucket([]byte(tableOutbox.name)); err != nil {
		return false, err
	}
	return true, g.put(tableMeta, []byte(metaSchema), binary.AppendUvarint(nil, uint64(s.info.Schema)+schemaVersion-1))
}

// upgradeOwed writes one record anew, abridged, and gives its saga the debt.
func (g *group) upgradeOwed(k []byte) error {
	id, ok := parseOutboxKey(k)
	place, err := tableOutbox.open(k, g.bucket(tableOutbox).Get(k))
	if err != nil || !ok || len(place) != 10 {
		return tableOutbox.corrupt(k, "it cannot be read, so that its message is not sent again")
	}
	place = bytes.Clone(place)
	body, sealed, err := g.find(tableOwed, place)
	keys := g.s.options.Keys
	if err == nil {
		body, err = keys.opening(sealed, "owed", string(k), 0, body)
	}
	if err != nil {
		return err
	}
	record, err := outboxpb.UnmarshalRecord(body)
	if err != nil || record.ID != id {
		return &store.CorruptError{What: fmt.Sprintf("outbox record %s", id), Why: fmt.Sprintf("it holds %s, %v", record.ID, err)}
	}
	h, state, err := g.s.loadHead(g.tx, id.Saga)
	if err != nil {
		return err
	}
	if !sealed { // it stays as plain as it was
		keys = nil
	}
	frame, err := owedFrame(keys, &record, nil)
	if err != nil {
		return err
	}
	if err := g.putFrame(keys.format(), tableOwed, place, frame); err != nil {
		return err
	}
	at := parseOwedKey(place)
	h.debts = append(h.debts, debt{id.Revision, id.Index, at.Commit, at.Index})
	return g.putHead(h.sealed, id.Saga, &h, state)
}

func parseOutboxKey(k []byte) (outbox.ID, bool) {
	n := len(k) - 11
	if n < 1 || k[n] != 0 {
		return outbox.ID{}, false
	}
	return outbox.ID{
		Saga:     saga.ID(k[:n]),
		Revision: binary.BigEndian.Uint64(k[n+1:]),
		Index:    binary.BigEndian.Uint16(k[n+9:]),
	}, true
}
