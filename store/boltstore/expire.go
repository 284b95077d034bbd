package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Expire implements store.Store. It reports and skips damaged sagas. On a full disk it does nothing.
func (s *Store) Expire(ctx context.Context, endedBefore, dropTombstones time.Time, limit int) (removed, dropped int, err error) {
	dropped, err = s.expire(ctx, expiryTombstone, dropTombstones, store.Bounded(limit), (*group).drop)
	if err != nil {
		return 0, dropped, err
	}
	crashpoint.Here(crashpoint.TombstonesDropped)
	removed, err = s.expire(ctx, expirySaga, endedBefore, store.Bounded(limit), (*group).entomb)
	return removed, dropped, err
}

// ended is an entry of the table expiry.
type ended struct {
	at      int64
	started int64
	id      contract.SagaID
	digest  machine.StartDigest
}

// expire calls do with the sagas or tombstones that ended before a time, in the order in which they
// ended, and returns how many it has done.
func (s *Store) expire(ctx context.Context, kind byte, before time.Time, limit int, do func(*group, *ended) (bool, error)) (done int, err error) {
	rest := span{table: tableExpiry, low: []byte{kind}, high: binary.BigEndian.AppendUint64([]byte{kind}, sortable(nano(before)))}
	if before.IsZero() || s.starved() != nil { // on a full disk, the reserve is for the sagas that are open
		return 0, s.usable(ctx)
	}
	for done < limit {
		var batch []ended
		var last []byte
		err := s.view(ctx, func(w *window) (err error) {
			batch, last, err = w.ended(rest, min(limit-done, expireSlice))
			return err
		})
		if err != nil {
			return done, err
		}
		n := 0
		if len(batch) > 0 {
			err = s.write(ctx, func(g *group) error {
				n = 0
				for i := range batch {
					did, err := do(g, &batch[i])
					if err != nil {
						return err
					}
					if did {
						n++
					}
				}
				return nil
			})
		}
		if err != nil {
			return done, err
		}
		if len(batch) > 0 {
			crashpoint.Here(crashpoint.SliceExpired)
		}
		if done += n; last == nil {
			return done, nil
		}
		rest = rest.behind(last)
	}
	return done, nil
}

// ended returns the first n entries of a span. last is the last key that it has read, or nil at the
// end.
func (w *window) ended(s span, n int) (batch []ended, last []byte, err error) {
	c := w.scan(s, func(key, body []byte) (contract.SagaID, bool) {
		_, id, ok := parseTimeKey(1, key)
		return id, ok && len(body) == 8
	})
	for e := c.next(); e != nil; e = c.next() {
		if n--; n < 0 {
			return batch, last, nil
		}
		last = bytes.Clone(e.key)
		one := ended{}
		one.at, one.id, _ = parseTimeKey(1, e.key)
		if e.saga != nil {
			one.started = e.saga.head().StartedUnixNano
		} else {
			one.started = unsortable(binary.BigEndian.Uint64(e.body))
		}
		if s.low[0] == expirySaga {
			c, err := w.content(one.id)
			if err == nil {
				one.digest, _, err = c.first()
			}
			switch {
			case errors.Is(err, store.ErrCorrupt):
				w.s.report(withSaga(one.id, err))
				continue
			case errors.Is(err, store.ErrEnded) || errors.Is(err, store.ErrNotFound): // the entry is left over
				continue
			case err != nil:
				return nil, nil, err
			}
		}
		batch = append(batch, one)
	}
	return batch, nil, nil
}

// drop drops a tombstone.
func (g *group) drop(e *ended) (bool, error) {
	h, err := g.enter(e.id)
	if err != nil || !removed(h) || h.EndedUnixNano != e.at {
		return false, g.skip(err)
	}
	g.add(&amendsv1.LogItem{Saga: string(e.id), Fresh: true})
	return true, nil
}

// entomb replaces a saga with a tombstone.
func (g *group) entomb(e *ended) (bool, error) {
	h, err := g.enter(e.id)
	if err != nil || h.GetClass() == 0 || h.EndedUnixNano != e.at || h.StartedUnixNano != e.started {
		return false, g.skip(err)
	}
	g.add(g.s.tombstoneItem(e.id, &amendsv1.Tombstone{
		Class: h.Class, Start: e.digest[:], Definition: h.Definition, StartedUnixNano: e.started, EndedUnixNano: e.at,
	}))
	return true, nil
}

// skip reports the damage of a saga that is skipped, and returns any other error.
func (g *group) skip(err error) error {
	if errors.Is(err, store.ErrCorrupt) {
		g.s.report(err)
		return nil
	}
	return err
}

// tombstoneItem returns the item that leaves a tombstone of a saga.
func (s *Store) tombstoneItem(id contract.SagaID, t *amendsv1.Tombstone) *amendsv1.LogItem {
	h := &amendsv1.SagaHead{StartedUnixNano: t.StartedUnixNano, EndedUnixNano: t.EndedUnixNano}
	h.Rest = sealPart(s.options.Keys, ownerOf(id, h), part{kind: sealedTombstone}, mustMarshal(t))
	return &amendsv1.LogItem{Saga: string(id), Fresh: true, Head: h}
}
