package memstore

import (
	"context"
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// Spoil makes a saga's record unreadable, as a failing disk would. It reports whether the saga
// exists.
func (s *Store) Spoil(id contract.SagaID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.data.sagas[id]
	if ok {
		r.spoilt = &store.CorruptError{What: fmt.Sprintf("state of saga %s", id), Why: "made unreadable by a test", Saga: id}
	}
	return ok
}

// RemoveDamaged implements store.Store.
func (s *Store) RemoveDamaged(ctx context.Context, id contract.SagaID, removal store.Removal) (removed store.Removed, err error) {
	if err := s.lock(ctx); err != nil {
		return removed, err
	}
	defer s.mu.Unlock()
	r := s.data.sagas[id]
	if r == nil || r.spoilt == nil {
		if _, err := s.data.find(id); err != nil {
			return removed, err
		}
		return removed, fmt.Errorf("saga %s: %w", id, store.ErrNotDamaged)
	}
	removal.Damage = r.spoilt.Error()
	s.data.tombstones[id] = store.TombstoneError{Saga: id, Definition: r.summary.Definition, Phase: contract.PhaseParked, Started: r.summary.Started, Ended: removal.At, Removal: &removal}
	delete(s.data.sagas, id)
	removed.Open = r.class.Open()
	for pending := range s.data.pending {
		if pending.Saga == id {
			delete(s.data.pending, pending)
			removed.Discarded = append(removed.Discarded, pending)
		}
	}
	return removed, nil
}
