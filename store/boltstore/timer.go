package boltstore

import (
	"cmp"
	"context"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// Due implements store.Store. If a key came due although the saga has postponed its timer, Due
// first replaces the key with a key for the new time.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) (ids []contract.SagaID, next time.Time, err error) {
	for {
		var late []contract.SagaID
		err = s.view(ctx, func(tx *bolt.Tx) error {
			ids, late, next = s.due(tx, now, store.Bounded(limit))
			return nil
		})
		if err != nil || len(late) == 0 {
			return ids, next, err
		}
		if err := s.write(ctx, func(g *group) error { return g.retime(late) }); err != nil {
			return nil, time.Time{}, err
		}
	}
}

// due reads the keys up to now. It returns the sagas that are due, the sagas that have postponed
// their timers, and the time when the next key comes due. It stops after limit sagas that are due,
// or after store.MaxPage sagas that have postponed their timers.
func (s *Store) due(tx *bolt.Tx, now time.Time, limit int) (ids, late []contract.SagaID, next time.Time) {
	c := tableTimers.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		at, id, ok := parseTimeKey(0, k)
		if _, err := tableTimers.open(k, v); err != nil || !ok {
			s.report(cmp.Or[error](err, tableTimers.corrupt(k, "its key is too short")))
			continue
		}
		if instant(at).After(now) || len(ids) == limit || len(late) == store.MaxPage {
			return ids, late, instant(at)
		}
		// A saga with an unreadable head counts as due, so that loading it reports the damage.
		if h, _, err := s.loadHead(tx, id); err == nil && h.timer == at && h.wake > at {
			late = append(late, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids, late, time.Time{}
}

// retime replaces the timer keys of sagas that postponed their timers with keys for the new times.
func (g *group) retime(ids []contract.SagaID) error {
	for _, id := range ids {
		h, state, err := g.s.loadHead(g.tx, id)
		if err != nil || h.timer == h.wake {
			continue // the saga has changed in the meantime
		}
		if err := g.move(tableTimers, timeKey("", h.timer, id), timeKey("", h.wake, id)); err != nil {
			return err
		}
		h.timer = h.wake
		if err := g.putHead(h.sealed, id, &h, state); err != nil {
			return err
		}
	}
	return nil
}
