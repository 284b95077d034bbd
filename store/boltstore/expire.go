package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Expire implements store.Store. It removes at most expireSlice sagas per transaction, so that no
// commit waits long; commits may use the same transaction. A saga that is too damaged to be removed
// is reported, kept, and not tried again. Expire is called every few seconds, so it writes nothing
// if nothing is due.
func (s *Store) Expire(ctx context.Context, endedBefore, dropTombstones time.Time, limit int) (removed, dropped int, err error) {
	limit = store.Bounded(limit)
	sagas, tombstones, err := s.expirable(ctx, endedBefore, dropTombstones)
	if err != nil {
		return 0, 0, err
	}
	for more := tombstones; more && dropped < limit; {
		n := 0
		err := s.write(ctx, func(g *group) (err error) {
			n, more, err = g.dropTombstones(dropTombstones, min(expireSlice, limit-dropped))
			return err
		})
		if err != nil {
			return removed, dropped, err
		}
		crashpoint.Here(crashpoint.TombstonesDropped)
		dropped += n
	}
	for more := sagas; more && removed < limit; {
		n := 0
		err := s.write(ctx, func(g *group) (err error) {
			n, more, err = g.expire(endedBefore, min(expireSlice, limit-removed))
			return err
		})
		if err != nil {
			return removed, dropped, err
		}
		crashpoint.Here(crashpoint.SliceExpired)
		removed += n
	}
	return removed, dropped, nil
}

// expirable reports whether any saga is due, and whether any tombstone is due. An unreadable key
// counts as due.
func (s *Store) expirable(ctx context.Context, endedBefore, dropTombstones time.Time) (sagas, tombstones bool, err error) {
	due := func(c *bolt.Cursor, kind byte, before time.Time) bool {
		k, v := c.Seek([]byte{kind})
		if before.IsZero() || k == nil || k[0] != kind {
			return false
		}
		at, _, ok := parseTimeKey(1, k)
		_, err := tableExpiry.open(k, v)
		return err != nil || !ok || instant(at).Before(before)
	}
	err = s.view(ctx, func(tx *bolt.Tx) error {
		c := tableExpiry.bucket(tx).Cursor()
		sagas, tombstones = due(c, expirySaga, endedBefore), due(c, expiryTombstone, dropTombstones)
		return nil
	})
	return sagas, tombstones, err
}

// ended is a due key of the bucket expiry.
type ended struct {
	key []byte
	id  contract.SagaID
}

// due returns at most limit keys of one kind whose time is before the given time. more is set if
// there may be further due keys. due reports and deletes damaged keys.
func (g *group) due(kind byte, before time.Time, limit int) (list []ended, more bool, err error) {
	if before.IsZero() {
		return nil, false, nil
	}
	var damaged [][]byte
	c := g.bucket(tableExpiry).Cursor()
	for k, v := c.Seek([]byte{kind}); k != nil && k[0] == kind; k, v = c.Next() {
		at, id, ok := parseTimeKey(1, k)
		if _, err := tableExpiry.open(k, v); err != nil || !ok {
			g.s.report(cmp.Or[error](err, tableExpiry.corrupt(k, "its key is too short")))
			damaged = append(damaged, bytes.Clone(k))
			continue
		}
		if !instant(at).Before(before) {
			break
		}
		if len(list)+len(damaged) >= limit {
			more = true
			break
		}
		list = append(list, ended{bytes.Clone(k), id})
	}
	for _, k := range damaged {
		if err := g.delete(tableExpiry, k); err != nil {
			return nil, false, err
		}
	}
	return list, more, nil
}

func (g *group) dropTombstones(before time.Time, limit int) (dropped int, more bool, err error) {
	list, more, err := g.due(expiryTombstone, before, limit)
	if err != nil {
		return 0, false, err
	}
	for _, e := range list {
		if err := g.delete(tableExpiry, e.key); err != nil {
			return dropped, false, err
		}
		if err := g.delete(tableTombstones, []byte(e.id)); err != nil {
			return dropped, false, err
		}
		dropped++
	}
	return dropped, more, nil
}

func (g *group) expire(before time.Time, limit int) (removed int, more bool, err error) {
	list, more, err := g.due(expirySaga, before, limit)
	if err != nil {
		return 0, false, err
	}
	for _, e := range list {
		in, err := g.s.load(g.tx, e.id)
		if err == nil {
			err = g.bury(in)
		}
		switch {
		case err == nil:
			removed++
			continue
		case isFatal(err):
			return removed, false, err
		}
		g.s.report(of(e.id, err))
		if err := g.delete(tableExpiry, e.key); err != nil {
			return removed, false, err
		}
	}
	return removed, more, nil
}

// bury replaces a saga with a tombstone.
func (g *group) bury(in *machine.Instance) error {
	h, _, err := g.s.loadHead(g.tx, in.ID)
	if err != nil {
		return err
	}
	b, err := g.s.loadBirth(g.tx, in.ID, &h)
	if err != nil {
		return err
	}
	entries, err := g.s.chain(g.tx, in.ID, &h, 1, h.revision)
	if err != nil {
		return err
	}
	places := []uint64{h.last} // sequences of its journal records: each record refers to the previous one
	for i := len(entries) - 1; i > 0; i-- {
		places = append(places, entries[i].prev)
	}
	for _, seq := range places {
		if err := g.delete(tableJournal, sequenceKey(seq)); err != nil {
			return err
		}
	}
	for _, d := range h.debts { // its pending outbox records
		g.takeSettled(d.id(in.ID, &h))
		g.swept = append(g.swept, d.key())
	}
	if err := g.delete(tableSagas, []byte(in.ID)); err != nil {
		return err
	}
	if err := g.reindex(in.ID, &h, nil); err != nil {
		return err
	}
	t := &store.TombstoneError{
		Saga: in.ID, Definition: in.Definition, Phase: in.Phase, Start: b.digest, Started: in.Started, Ended: in.Ended,
	}
	keys := g.s.options.Keys
	if err := g.putAs(frameFormatOf(keys), tableTombstones, []byte(in.ID), sealPart(keys, "tombstone", string(in.ID), 0, encodeTombstone(t, h.class))); err != nil {
		return err
	}
	return g.put(tableExpiry, timeKey(string(rune(expiryTombstone)), h.ended, in.ID), nil)
}
