package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestReadOnly reads and copies a store without changing a byte of it, although a crash left
// discarded messages in it.
func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, boltstore.Options{})
	ids := fillAtEveryStep(t, s, 40)
	want := picture(t, s, ids...)
	if _, err := boltstore.OpenReadOnly(path, boltstore.Options{LockTimeout: time.Millisecond}); !errors.Is(err, boltstore.ErrLocked) {
		t.Errorf("while it is in use: %v", err)
	}
	path = died(t, path)
	untouched(t, path, func() {
		r := openReadOnly(t, path, boltstore.Options{})
		second := openReadOnly(t, path, boltstore.Options{}) // several readers are allowed
		for _, r := range []*boltstore.Store{r, second} {
			if diff := cmp.Diff(want, picture(t, r, ids...)); diff != "" {
				t.Errorf("(-written +read):\n%.3000s", diff)
			}
			if err := r.Verify(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if counts, err := r.Counts(t.Context()); err != nil || len(counts) == 0 {
			t.Errorf("counts %v, %v", counts, err)
		}
		for what, err := range changes(t, r) {
			if !errors.Is(err, boltstore.ErrReadOnly) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if diff := cmp.Diff(want, picture(t, restored(t, r, boltstore.RestoreOptions{}), ids...)); diff != "" {
			t.Errorf("(-written +copied):\n%.3000s", diff)
		}
		if err := errors.Join(r.Close(), second.Close(), r.Close()); err != nil {
			t.Error(err)
		}
		if _, err := r.Load(t.Context(), ids[0]); !errors.Is(err, store.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
	left, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, boltstore.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	if swept, err := os.ReadFile(path); err != nil || bytes.Equal(left, swept) {
		t.Errorf("Open changes nothing here, so that the test shows nothing; %v", err)
	}
}

// TestNoLayout checks that a file without a layout version is refused and stays unchanged.
func TestNoLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, boltstore.Options{})
	if err := s.SetSchema(boltstore.Schema - 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	untouched(t, path, func() {
		_, err := boltstore.Open(path, boltstore.Options{})
		_, readErr := boltstore.OpenReadOnly(path, boltstore.Options{})
		for _, err := range []error{err, readErr} {
			if !errors.Is(err, boltstore.ErrForeign) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// fillAtEveryStep commits sagas at every step, and returns their ids.
func fillAtEveryStep(t *testing.T, s store.Store, sagas int) (ids []contract.SagaID) {
	t.Helper()
	for i := range sagas {
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%04d", (i*7)%sagas)), storetest.Checkout, storetest.Epoch.Add(time.Duration(i)*time.Millisecond))
		ids = append(ids, c.Instance.ID)
		commit(t, s, c)
		for n := 0; c.Instance.Open() && (i%10 == 0 || i%2 == n+1); n++ {
			c = storetest.Next(c.Instance, storetest.Epoch.Add(time.Minute+time.Duration(n)*time.Second))
			commit(t, s, c)
		}
	}
	return ids
}

// TestReadOnlyOfNothing checks that a missing file is not created and a foreign one is refused.
func TestReadOnlyOfNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if _, err := boltstore.OpenReadOnly(path, boltstore.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.OpenReadOnly(path, boltstore.Options{}); !errors.Is(err, boltstore.ErrForeign) {
		t.Errorf("an empty file: %v", err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<15), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.OpenReadOnly(path, boltstore.Options{}); !errors.Is(err, boltstore.ErrDamaged) {
		t.Errorf("another file: %v", err)
	}
}

func openReadOnly(t *testing.T, path string, options boltstore.Options) *boltstore.Store {
	t.Helper()
	s, err := boltstore.OpenReadOnly(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a second Close returns the same result
	return s
}

// died returns a copy of an idle store's file, as a crash would leave it. Close would sweep it
// first.
func died(t *testing.T, path string) string {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// untouched runs do, and fails the test if the file has changed.
func untouched(t *testing.T, path string, do func()) {
	t.Helper()
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	do()
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was, is) {
		t.Error("the file was changed")
	}
}

// changes calls every method that writes, and returns their errors by method name.
func changes(t *testing.T, s *boltstore.Store) map[string]error {
	t.Helper()
	said := map[string]error{}
	_, said["Commit"] = s.Commit(t.Context(), []store.Change{storetest.Start("order-new", storetest.Checkout, storetest.Epoch)})
	said["Discard"] = s.Discard(t.Context(), []outbox.ID{{Saga: "order-0001", Revision: 1}})
	d, err := storetest.Definition("other", 1, "")
	if err != nil {
		t.Fatal(err)
	}
	said["PutDefinition"] = s.PutDefinition(t.Context(), d)
	_, _, said["Expire"] = s.Expire(t.Context(), storetest.Epoch.Add(time.Hour), storetest.Epoch, 10)
	said["Check"] = s.Check(t.Context())
	return said
}

// restored restores a backup of s into a new store.
func restored(t *testing.T, s store.Store, options boltstore.RestoreOptions) *boltstore.Store {
	t.Helper()
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "restored.db")
	if err := boltstore.Restore(t.Context(), io.Reader(&backup), path, options); err != nil {
		t.Fatal(err)
	}
	return open(t, path, boltstore.Options{Keys: options.Keys})
}
