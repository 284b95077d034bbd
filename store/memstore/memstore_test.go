package memstore_test

import (
	"errors"
	"testing"

	"github.com/amends-dev/amends/saga"
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
			Damage: func(t testing.TB, id saga.ID) {
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
