package memstore_test

import (
	"errors"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/store/storetest"
)

func TestLaw(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		s := memstore.New()
		return storetest.Harness{
			Store: s,
			Reopen: func(testing.TB) store.Store {
				s = s.Reopen()
				return s
			},
			Damage: func(t testing.TB, id contract.SagaID) {
				if !s.Spoil(id) {
					t.Fatalf("there is no saga %s", id)
				}
			},
		}
	})
}

func TestHooks(t *testing.T) {
	crash := errors.New("the process died")
	changes := []store.Change{storetest.Start("order-1", storetest.Checkout, storetest.Epoch)}

	t.Run("conflict", func(t *testing.T) {
		s := memstore.New()
		s.Hooks.Before = func([]store.Change) ([]error, error) {
			return []error{&store.ConflictError{Saga: "order-1"}}, nil
		}
		results, err := s.Commit(t.Context(), changes)
		if err != nil || !errors.Is(results[0], store.ErrConflict) {
			t.Fatalf("got %v, %v", results, err)
		}
		s.Hooks.Before = nil
		if results, err := s.Commit(t.Context(), changes); err != nil || results[0] != nil {
			t.Fatalf("the injected conflict was committed: %v, %v", results, err)
		}
	})
	t.Run("crash before", func(t *testing.T) {
		s := memstore.New()
		s.Hooks.Before = func([]store.Change) ([]error, error) { return nil, crash }
		if _, err := s.Commit(t.Context(), changes); !errors.Is(err, store.ErrBroken) || !errors.Is(err, crash) {
			t.Fatalf("got %v", err)
		}
		if _, err := s.Load(t.Context(), "order-1"); !errors.Is(err, store.ErrBroken) {
			t.Fatalf("a broken store answered: %v", err)
		}
		if _, err := s.Reopen().Load(t.Context(), "order-1"); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("it was committed: %v", err)
		}
	})
	t.Run("crash after", func(t *testing.T) {
		s := memstore.New()
		s.Hooks.After = func([]store.Change) error { return crash }
		if _, err := s.Commit(t.Context(), changes); !errors.Is(err, store.ErrBroken) {
			t.Fatalf("got %v", err)
		}
		if _, err := s.Reopen().Load(t.Context(), "order-1"); err != nil {
			t.Fatalf("it was not committed: %v", err)
		}
	})
}

// TestCopy checks that a copy has the same data, and that later changes affect only one of the two.
func TestCopy(t *testing.T) {
	s := memstore.New()
	if _, err := s.Commit(t.Context(), []store.Change{storetest.Start("order-1", storetest.Checkout, storetest.Epoch)}); err != nil {
		t.Fatal(err)
	}
	c := s.Copy()
	for id, one := range map[contract.SagaID]*memstore.Store{"order-2": s, "order-3": c} {
		if results, err := one.Commit(t.Context(), []store.Change{storetest.Start(id, storetest.Checkout, storetest.Epoch)}); err != nil || errors.Join(results...) != nil {
			t.Fatal(err, results)
		}
	}
	for id, in := range map[contract.SagaID][2]bool{"order-1": {true, true}, "order-2": {true, false}, "order-3": {false, true}} {
		for i, one := range []*memstore.Store{s, c} {
			if _, err := one.Load(t.Context(), id); (err == nil) != in[i] {
				t.Errorf("%s in the original (0) or the copy (1) %d: %v", id, i, err)
			}
		}
	}
	a, errA := s.LoadClaim(t.Context())
	b, errB := c.LoadClaim(t.Context())
	if errA != nil || errB != nil || a != b {
		t.Errorf("%+v, %v and %+v, %v: a copy is the same store", a, errA, b, errB)
	}
}
