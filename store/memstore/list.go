package memstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// List implements store.Store.
func (s *Store) List(ctx context.Context, filter store.Filter, page store.Page) ([]store.Summary, string, error) {
	if err := s.lock(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	var behind store.Position
	if page.Cursor != "" {
		var err error
		if behind, err = filter.Position(page.Cursor); err != nil {
			return nil, "", err
		}
	}
	var list []store.Summary
	for id, r := range s.data.sagas {
		sum := r.summary
		if r.spoilt != nil {
			sum = store.Summary{ID: id, Definition: sum.Definition, Phase: sum.Phase, Started: sum.Started, Damage: r.spoilt.Error()}
		}
		if r.spoilt != nil && filter.ByState() || !filter.Wants(r.class) || !filter.WantsDefinition(sum.Definition) || !filter.WantsStart(sum.Started) ||
			!filter.WantsID(id) || (page.Cursor != "" && !behind.Before(position(sum))) {
			continue
		}
		if filter.ByState() {
			state, err := r.read()
			if err != nil {
				return nil, "", err
			}
			if !filter.WantsState(state) {
				continue
			}
		}
		list = append(list, sum)
	}
	slices.SortFunc(list, func(a, b store.Summary) int {
		if position(a).Before(position(b)) {
			return -1
		}
		return 1
	})
	if len(list) <= page.Size() {
		return list, "", nil
	}
	list = list[:page.Size()]
	return list, filter.Cursor(position(list[len(list)-1])), nil
}

func position(s store.Summary) store.Position { return store.Position{Started: s.Started, ID: s.ID} }

// Counts implements store.Store.
func (s *Store) Counts(ctx context.Context) ([]store.Count, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	type key struct {
		ref   contract.DefinitionRef
		phase contract.Phase
	}
	sagas, ended := map[key]int{}, map[key]int{}
	for _, r := range s.data.sagas {
		k := key{r.summary.Definition, r.summary.Phase}
		sagas[k]++
		if !r.summary.Ended.IsZero() {
			ended[k]++
		}
	}
	var counts []store.Count
	for k, n := range sagas {
		counts = append(counts, store.Count{Definition: k.ref, Phase: k.phase, Sagas: n, Ended: ended[k]})
	}
	slices.SortFunc(counts, func(a, b store.Count) int {
		return cmp.Or(compareRef(a.Definition, b.Definition), cmp.Compare(a.Phase, b.Phase))
	})
	return counts, nil
}

// Due implements store.Store.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) (ids []contract.SagaID, next time.Time, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, time.Time{}, err
	}
	defer s.mu.Unlock()
	wakes := timed(s.data.sagas, func(r *record) time.Time { return r.wake })
	for _, w := range wakes {
		if w.at.After(now) || len(ids) == store.Bounded(limit) {
			return ids, w.at, nil
		}
		ids = append(ids, w.id)
	}
	return ids, time.Time{}, nil
}

// at holds an id and its time.
type at struct {
	at time.Time
	id contract.SagaID
}

// timed returns the ids with a nonzero time, earliest first, then by id.
func timed[T any](all map[contract.SagaID]T, when func(T) time.Time) []at {
	var list []at
	for id, r := range all {
		if t := when(r); !t.IsZero() {
			list = append(list, at{t, id})
		}
	}
	slices.SortFunc(list, func(a, b at) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	return list
}

func (d *data) endedSagas(before time.Time, limit int) []contract.SagaID {
	ended := func(r *record) time.Time {
		if r.spoilt != nil {
			return time.Time{} // not due
		}
		return r.summary.Ended
	}
	return until(timed(d.sagas, ended), before, limit)
}

func (d *data) endedTombstones(before time.Time, limit int) []contract.SagaID {
	return until(timed(d.tombstones, func(t store.TombstoneError) time.Time { return t.Ended }), before, limit)
}

// until returns at most limit ids whose time is before the given time.
func until(list []at, before time.Time, limit int) []contract.SagaID {
	var ids []contract.SagaID
	for _, a := range list {
		if a.at.Before(before) && len(ids) < store.Bounded(limit) {
			ids = append(ids, a.id)
		}
	}
	return ids
}

// PutDefinition implements store.Store.
func (s *Store) PutDefinition(ctx context.Context, d store.Definition) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if have, ok := s.data.definitions[d.Ref]; ok && have.Fingerprint != d.Fingerprint {
		return &store.DefinitionConflictError{Definition: d.Ref, Registered: have.Fingerprint, Given: d.Fingerprint}
	}
	d.JSON = bytes.Clone(d.JSON)
	s.data.definitions[d.Ref] = d
	return nil
}

// Definitions implements store.Store.
func (s *Store) Definitions(ctx context.Context) ([]store.Definition, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var all []store.Definition
	for _, d := range s.data.definitions {
		d.JSON = bytes.Clone(d.JSON)
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b store.Definition) int { return compareRef(a.Ref, b.Ref) })
	return all, nil
}

func compareRef(a, b contract.DefinitionRef) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
}
