package boltstore_test

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a store that is closed when the test ends.
func open(t testing.TB, path string, options boltstore.Options) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// commit commits changes one by one.
func commit(t testing.TB, s store.Store, changes ...store.Change) {
	t.Helper()
	for _, c := range changes {
		results, err := s.Commit(t.Context(), []store.Change{c})
		if err = errors.Join(append(results, err)...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLaw(t *testing.T) {
	t.Run("plain", func(t *testing.T) { law(t, boltstore.Options{}) })
	t.Run("sealed", func(t *testing.T) { law(t, boltstore.Options{Keys: keys(t, line(t, "key-1"))}) })
}

func law(t *testing.T, options boltstore.Options) {
	t.Helper()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		path := filepath.Join(t.TempDir(), "store.db")
		s := open(t, path, options)
		restored := 0
		return storetest.Harness{
			Store: s,
			Damage: func(t testing.TB, id contract.SagaID) {
				if err := s.Damage("sagas", []byte(id), 3); err != nil {
					t.Fatal(err)
				}
			},
			Reopen: func(t testing.TB) store.Store {
				s.Abort()
				s = open(t, path, options)
				if err := s.Verify(t.Context()); err != nil {
					t.Fatalf("after a crash: %v", err)
				}
				return s
			},
			Restore: func(t testing.TB, backup io.Reader) (store.Store, error) {
				restored++
				path := filepath.Join(t.TempDir(), "restored.db")
				if err := boltstore.Restore(t.Context(), backup, path, boltstore.RestoreOptions{Keys: options.Keys}); err != nil {
					return nil, err
				}
				return open(t, path, options), nil
			},
		}
	})
}
