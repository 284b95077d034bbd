package boltstore_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/internal/packed"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// before are the files that earlier layouts left: what fillBefore makes, as the
// release of then wrote it.
var before = map[string]struct {
	key   string
	sagas int
}{
	"layout-1": {"", 400}, // two steps of an upgrade
	"layout-2": {"golden a2V5IGtleSBrZXkga2V5IGtleSBrZXkga2V5IGtleSE=", 40},
}

// fillBefore starts sagas, moves half of them, and ends every tenth. It returns their
// ids.
func fillBefore(t *testing.T, s store.Store, sagas int) (ids []saga.ID) {
	t.Helper()
	for i := range sagas {
		c := storetest.Start(saga.ID(fmt.Sprintf("order-%04d", (i*7)%sagas)), storetest.Checkout, storetest.Epoch.Add(time.Duration(i)*time.Millisecond))
		ids = append(ids, c.Instance.ID)
		commit(t, s, c)
		for n := 0; c.Instance.Open() && (i%10 == 0 || i%2 == n+1); n++ {
			c = storetest.Next(c.Instance, storetest.Epoch.Add(time.Minute+time.Duration(n)*time.Second))
			commit(t, s, c)
		}
	}
	return ids
}

// unpackStore makes a store of a packed one.
func unpackStore(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	if err := packed.Unpack(filepath.Join("testdata", name+".db.gz"), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpgrade opens the files of earlier layouts: they hold what a file of today holds
// after the same commits, states, histories and debts, and go on from there.
func TestUpgrade(t *testing.T) {
	for name, was := range before {
		t.Run(name, func(t *testing.T) {
			options := boltstore.Options{OnCorrupt: func(err error) { t.Error(err) }}
			if was.key != "" {
				options.Keys = keys(t, was.key)
			}
			fresh := open(t, filepath.Join(t.TempDir(), "store.db"), options)
			ids := fillBefore(t, fresh, was.sagas)
			want := picture(t, fresh, ids...)
			path := unpackStore(t, name)
			for range 2 { // the second time it is of today's layout
				s := open(t, path, options)
				if diff := cmp.Diff(want, picture(t, s, ids...)); diff != "" {
					t.Errorf("(-fresh +upgraded):\n%.3000s", diff)
				}
				if err := s.Verify(t.Context()); err != nil {
					t.Error(err)
				}
				if s.Info().Schema != fresh.Info().Schema {
					t.Errorf("layout %d, want %d", s.Info().Schema, fresh.Info().Schema)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, path, options)
			for _, st := range []*boltstore.Store{s, fresh} {
				for _, id := range ids[:20] {
					in, err := st.Load(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					if !in.Open() {
						continue
					}
					commit(t, st, storetest.Next(in, storetest.Epoch.Add(time.Hour)))
				}
			}
			if diff := cmp.Diff(picture(t, fresh, ids...), picture(t, s, ids...)); diff != "" {
				t.Errorf("after more commits (-fresh +upgraded):\n%.3000s", diff)
			}
		})
	}
}
