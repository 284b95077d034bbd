//go:build !race

package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/store/storetest"
)

// flipRow changes a byte of a row in the state: of its frame if at is negative, else of its body.
func flipRow(t testing.TB, s *Store, in table, key []byte, at int) {
	t.Helper()
	if err := s.db.Update(func(tx *bolt.Tx) error {
		k, v := in.bucket(tx).Cursor().Seek(key)
		v = bytes.Clone(v)
		v[frameSize+at] ^= 0x10
		return in.bucket(tx).Put(bytes.Clone(k), v)
	}); err != nil {
		t.Fatal(err)
	}
}

// TestRemoveDamaged damages each kind of row of a saga, open or ended, plain or sealed. It must be possible to
// remove the saga with all its rows and messages. Afterwards nothing may be damaged, and the others continue.
func TestRemoveDamaged(t *testing.T) {
	t.Parallel()
	const id, sick = contract.SagaID("order-07"), 7
	started := nano(storetest.Epoch.Add(sick * time.Second))
	for _, c := range []struct {
		name  string
		table table
		key   []byte
		ended bool
	}{
		{"id", tableIDs, []byte(id), false},
		{"head", tableSagas, partKey(started, id, partHead, nil), false},
		{"head, ended", tableSagas, partKey(started, id, partHead, nil), true},
		{"start", tableSagas, partKey(started, id, partStart, nil), false},
		{"start, ended", tableSagas, partKey(started, id, partStart, nil), true},
		{"events, ended", tableSagas, partKey(started, id, partEvents, nil), true},
	} {
		for _, at := range []int{-9, -6, 0, 6} {
			name := fmt.Sprintf("%s at %d", c.name, at)
			var keys *seal.Keys
			if at == 0 {
				keys = newKeys(t)
			}
			h := newHarness(t, Options{manual: true, Keys: keys}, nil)
			var in = storetest.Start(id, storetest.Checkout, instant(started)).Instance
			for i := range 12 {
				at := storetest.Epoch.Add(time.Duration(i) * time.Second)
				accept(t, h.store, storetest.Start(contract.SagaID(fmt.Sprintf("order-%02d", i)), storetest.Checkout, at))
			}
			for c.ended && in.Open() {
				next := storetest.Next(in, storetest.Epoch.Add(time.Minute))
				accept(t, h.store, next)
				in = next.Instance
			}
			if err := h.store.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			flipRow(t, h.store, c.table, c.key, at)
			if err := h.store.Verify(t.Context()); err == nil {
				t.Fatalf("%s: nothing is damaged", name)
			}
			_, _ = h.store.Load(t.Context(), id)
			_, _ = h.store.History(t.Context(), id, 1, 0)
			removal := store.Removal{At: storetest.Epoch.Add(time.Hour), By: "ada", Reason: "the disk is replaced"}
			removed, err := h.store.RemoveDamaged(t.Context(), id, removal)
			if err != nil || removed.Open == c.ended || !c.ended && len(removed.Discarded) != 1 {
				t.Errorf("%s: removed %+v, %v", name, removed, err)
			}
			for range 2 {
				_, err := h.store.Load(t.Context(), id)
				stone, ok := errors.AsType[*store.TombstoneError](err)
				if !ok || stone.Removal == nil || stone.Removal.By != "ada" || stone.Removal.Damage == "" {
					t.Errorf("%s: Load: %v", name, err)
				}
				if err := h.store.Verify(t.Context()); err != nil || h.store.Stats().DamagedNow > 0 {
					t.Errorf("%s: %d are damaged, Verify: %v", name, h.store.Stats().DamagedNow, err)
				}
				h.store.abort()
				h.open(t)
			}
			neighbour := storetest.Start("order-06", storetest.Checkout, storetest.Epoch.Add((sick-1)*time.Second)).Instance
			accept(t, h.store, storetest.Next(neighbour, storetest.Epoch.Add(time.Minute)), storetest.Start("order-07-beside", storetest.Checkout, storetest.Epoch))
			h.store.abort()
		}
	}
}

// TestDamagedSagaDoesNotStopExpire checks that an ended saga that cannot be removed stays, and that the others are
// removed. So is a damaged tombstone, by an operator.
func TestDamagedSagaDoesNotStopExpire(t *testing.T) {
	h := newHarness(t, Options{manual: true}, nil)
	for i := range 6 {
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", i)), storetest.Checkout, storetest.Epoch)
		accept(t, h.store, c)
		for in := c.Instance; in.Open(); {
			next := storetest.Next(in, storetest.Epoch.Add(time.Minute))
			accept(t, h.store, next)
			in = next.Instance
		}
	}
	h.damage(t, "order-2")
	later := storetest.Epoch.Add(time.Hour)
	if n, _, err := h.store.Expire(t.Context(), later, time.Time{}, 0); n != 5 || err != nil {
		t.Errorf("%d sagas are removed, want 5 (%v)", n, err)
	}
	if _, err := h.store.Load(t.Context(), "order-2"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the damaged one: %v", err)
	}
	h.damage(t, "order-3") // a tombstone
	for _, id := range []contract.SagaID{"order-2", "order-3"} {
		if _, err := h.store.RemoveDamaged(t.Context(), id, store.Removal{At: later, By: "ada"}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, n, err := h.store.Expire(t.Context(), later, later.Add(time.Hour), 0); n != 6 || err != nil {
		t.Errorf("%d tombstones are dropped, want 6 (%v)", n, err)
	}
	if err := errors.Join(h.store.Checkpoint(t.Context()), h.store.Verify(t.Context())); err != nil {
		t.Error(err)
	}
}

// TestExpireRemovesWhatItRead checks that neither a saga nor a tombstone is removed for one with the same id that was
// read before: since then, that one may have been removed, and the id started again.
func TestExpireRemovesWhatItRead(t *testing.T) {
	s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), Options{manual: true})
	defer s.abort()
	c := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	end := storetest.Reject(c.Instance, storetest.Epoch.Add(time.Minute))
	accept(t, s, c, end)
	now := ended{id: "order-1", at: nano(end.Instance.Ended), started: nano(c.Instance.Started)}
	endedBefore, startedBefore := now, now
	endedBefore.at--
	startedBefore.started--
	for _, tt := range []struct {
		name string
		do   func(*group, *ended) (bool, error)
		read ended
		want bool
		then error // of Load
	}{
		{"a saga that ended before", (*group).entomb, endedBefore, false, nil},
		{"a saga that started before", (*group).entomb, startedBefore, false, nil},
		{"a tombstone, where there is a saga", (*group).drop, now, false, nil},
		{"the saga", (*group).entomb, now, true, store.ErrEnded},
		{"the saga, again", (*group).entomb, now, false, store.ErrEnded},
		{"a tombstone of a saga that ended before", (*group).drop, endedBefore, false, store.ErrEnded},
		{"the tombstone", (*group).drop, now, true, store.ErrNotFound},
	} {
		did := false
		err := s.write(t.Context(), func(g *group) (err error) {
			did, err = tt.do(g, &tt.read)
			return err
		})
		if _, load := s.Load(t.Context(), "order-1"); err != nil || did != tt.want || !errors.Is(load, tt.then) {
			t.Errorf("%s: removed: %t, %v; then Load: %v", tt.name, did, err, load)
		}
	}
}

// TestRemoveNothingOfOthers checks that no saga that never existed becomes a tombstone, because a damaged row
// could belong to it.
func TestRemoveNothingOfOthers(t *testing.T) {
	h := newHarness(t, Options{manual: true}, nil)
	filledIDs := []contract.SagaID{"order-06", "order-07", "order-08"}
	for _, id := range filledIDs {
		accept(t, h.store, storetest.Start(id, storetest.Checkout, storetest.Epoch))
	}
	if err := h.store.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	flipRow(t, h.store, tableIDs, []byte("order-07"), -8) // the key's checksum
	for _, id := range []contract.SagaID{"order-06-beside", "order-07-beside", "nobody"} {
		_, err := h.store.RemoveDamaged(t.Context(), id, store.Removal{At: storetest.Epoch, By: "ada"})
		if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("RemoveDamaged of %s: %v", id, err)
		}
		if _, err := h.store.Load(t.Context(), id); errors.Is(err, store.ErrEnded) {
			t.Errorf("%s, which never existed, is a tombstone", id)
		}
	}
}
