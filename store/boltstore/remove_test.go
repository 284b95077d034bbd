package boltstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

var removal = store.Removal{At: storetest.Epoch.Add(time.Hour), By: "ada", Reason: "the disk is being replaced"}

// TestRemoveDamaged damages each kind of record of a saga, open or ended, plain or sealed. It must
// be possible to remove the saga with all its records. Afterwards nothing may be damaged, and the
// other sagas must continue.
func TestRemoveDamaged(t *testing.T) {
	const sick = 7
	id := orderID(sick)
	for _, c := range []struct {
		name, bucket string
		key          []byte
		ended        bool
	}{
		{"state", "sagas", []byte(id), false},
		{"state of one that has ended", "sagas", []byte(id), true},
		{"the beginning of its journal", "journal", boltstore.JournalKey(sick + 1), false},
		{"the beginning of its journal, ended", "journal", boltstore.JournalKey(sick + 1), true},
		{"the middle of its journal, ended", "journal", boltstore.JournalKey(21), true},
	} {
		for _, at := range []int{-9, -6, 0, 60} {
			for _, sealed := range []bool{false, true} {
				if sealed && at != 0 {
					continue // the damage does not change the frame
				}
				t.Run(fmt.Sprintf("%s at %d, sealed %v", c.name, at, sealed), func(t *testing.T) {
					options := boltstore.Options{}
					if sealed {
						options.Keys = keys(t, line(t, "key-1"))
					}
					path := filepath.Join(t.TempDir(), "store.db")
					s := open(t, path, options)
					for i := range 20 {
						apply(t, s, storetest.Start(orderID(i), storetest.Checkout, storetest.Epoch))
					}
					move := storetest.Next(storetest.Start(id, storetest.Checkout, storetest.Epoch).Instance, storetest.Epoch)
					apply(t, s, move)
					for in := move.Instance; c.ended && in.Open(); {
						move = storetest.Next(in, storetest.Epoch)
						apply(t, s, move)
						in = move.Instance
					}
					if err := s.Damage(c.bucket, c.key, at); err != nil {
						t.Fatal(err)
					}
					_, _ = s.Load(t.Context(), id)
					_, _ = s.History(t.Context(), id, 1, 0)
					if n := s.Stats().DamagedNow; n == 0 {
						t.Fatal("nothing is damaged: the test does not bite")
					}
					if _, err := s.RemoveDamaged(t.Context(), id, removal); err != nil {
						t.Fatal(err)
					}
					gone(t, s, id)
					if err := s.Verify(t.Context()); err != nil {
						t.Errorf("Verify: %v", err)
					}
					if n := s.Stats().DamagedNow; n > 0 {
						t.Errorf("%d records are still damaged", n)
					}
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = open(t, path, options)
					gone(t, s, id)
					if err := s.Verify(t.Context()); err != nil {
						t.Errorf("Verify after a restart: %v", err)
					}
					if n := s.Stats().DamagedNow; n > 0 {
						t.Errorf("%d records are damaged after a restart", n)
					}
				})
			}
		}
	}
}

// gone checks that only a tombstone of the saga remains, and that the other 19 are unchanged.
func gone(t *testing.T, s *boltstore.Store, id contract.SagaID) {
	t.Helper()
	var stone *store.TombstoneError
	if _, err := s.Load(t.Context(), id); !errors.As(err, &stone) || stone.Removal == nil || stone.Removal.By != "ada" || !strings.Contains(stone.Removal.Damage, "damaged") {
		t.Errorf("Load: %v", err)
	}
	if err := try(t, s, storetest.Start(id, storetest.Checkout, storetest.Epoch)); !errors.Is(err, store.ErrEnded) {
		t.Errorf("its start: %v", err)
	}
	for i := range 20 {
		if other := orderID(i); other != id {
			if _, err := s.Load(t.Context(), other); err != nil {
				t.Errorf("Load of %s: %v", other, err)
			}
		}
	}
	for bucket, want := range map[string]int{"sagas": 19, "journal": 19, "owed": 19, "timers": 19, "index": 19, "tombstones": 1, "expiry": 1} {
		if n := s.Records(bucket); n != want {
			t.Errorf("%d records in %s, want %d", n, bucket, want)
		}
	}
	counts, err := s.Counts(t.Context())
	if err != nil || len(counts) != 1 || counts[0].Sagas != 19 {
		t.Errorf("counts %v, %v", counts, err)
	}
}

// TestRemoveDamagedTombstone checks that an unreadable tombstone is replaced too.
func TestRemoveDamagedTombstone(t *testing.T) {
	var reported []string
	s := twenty(t, &reported)
	for in := storetest.Start(orderID(7), storetest.Checkout, storetest.Epoch).Instance; in.Open(); {
		c := storetest.Next(in, storetest.Epoch)
		apply(t, s, c)
		in = c.Instance
	}
	if n, _, err := s.Expire(t.Context(), storetest.Epoch.Add(time.Hour), time.Time{}, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := s.Damage("tombstones", nil, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), orderID(7)); !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
	if _, err := s.RemoveDamaged(t.Context(), orderID(7), removal); err != nil {
		t.Fatal(err)
	}
	var stone *store.TombstoneError
	if _, err := s.Load(t.Context(), orderID(7)); !errors.As(err, &stone) || stone.Removal == nil {
		t.Errorf("Load: %v", err)
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// TestRemoveNothingOfOthers checks that a saga is not removed if its only possible record is one
// without key and value, because that record could belong to any neighbouring id.
func TestRemoveNothingOfOthers(t *testing.T) {
	var reported []string
	s := twenty(t, &reported)
	if err := s.Damage("sagas", []byte(orderID(7)), -9); err != nil { // the format byte
		t.Fatal(err)
	}
	for _, id := range []contract.SagaID{"order-06-beside", "order-07-beside", "nobody"} {
		if _, err := s.RemoveDamaged(t.Context(), id, removal); !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("RemoveDamaged of %s: %v", id, err)
		}
		if _, err := s.Load(t.Context(), id); errors.Is(err, store.ErrEnded) {
			t.Errorf("%s, which never was, is a tombstone", id)
		}
	}
	if _, err := s.RemoveDamaged(t.Context(), orderID(7), removal); err != nil {
		t.Fatal(err)
	}
	gone(t, s, orderID(7))
}

// TestRemovedOwesNothing checks that the pending messages of a removed saga are deleted and
// reported.
func TestRemovedOwesNothing(t *testing.T) {
	var reported []string
	s := twenty(t, &reported)
	if err := s.Damage("sagas", []byte(orderID(7)), 3); err != nil {
		t.Fatal(err)
	}
	removed, err := s.RemoveDamaged(t.Context(), orderID(7), removal)
	want := storetest.Start(orderID(7), storetest.Checkout, storetest.Epoch).Enqueue[0].ID
	if err != nil || len(removed.Discarded) != 1 || removed.Discarded[0] != want || !removed.Open {
		t.Errorf("removed %+v, %v, want %v", removed, err, want)
	}
}
