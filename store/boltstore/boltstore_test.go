package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/storetest"
)

// TestLaw runs the conformance suite while checkpoints are written in the background, all the time.
func TestLaw(t *testing.T) {
	law(t, Options{CheckpointSize: 256 << 10, pieceSagas: 3}, nil)
}

// law runs the conformance suite. before, if set, is called before a record is appended.
func law(t *testing.T, o Options, before func(*Store, *rand.Rand) error) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness { return newHarness(t, o, before).Harness })
}

// harness opens one store again and again.
type harness struct {
	storetest.Harness

	path    string
	options Options
	before  func(*Store, *rand.Rand) error
	random  *rand.Rand
	store   *Store
	damaged contract.SagaID // by damage
}

func newHarness(t testing.TB, o Options, before func(*Store, *rand.Rand) error) *harness {
	h := &harness{path: filepath.Join(t.TempDir(), "sagas.db"), options: o, before: before, random: rand.New(rand.NewPCG(1, 2))}
	h.open(t)
	h.Harness = storetest.Harness{
		Store: h.store,
		Reopen: func(t testing.TB) store.Store {
			h.verify(t)
			h.store.abort()
			was := h.store
			h.open(t)
			replayed(t, was, h.store)
			return h.store
		},
		Restore: h.restore,
		Damage:  h.damage,
	}
	t.Cleanup(func() { h.store.abort() })
	return h
}

// testOptions returns options with which stores are created and opened quickly.
func testOptions(o Options) Options {
	o.Log.SegmentSize = 16 << 10
	o.CheckLimit, o.MinFree, o.unsynced = -1, -1, true
	o.MapSize = 8 << 20 // to map 16 GiB takes milliseconds
	return o
}

func (h *harness) open(t testing.TB) {
	t.Helper()
	var err error
	if h.store, err = Open(h.path, testOptions(h.options)); err != nil {
		t.Fatal(err)
	}
	if s := h.store; h.before != nil {
		s.failAppend = func() error { return h.before(s, h.random) }
	}
}

// replayed checks that a store holds after a restart what it held before, item by item: Commit applies
// the items that it made, and replay those that it decodes.
func replayed(t testing.TB, before, after *Store) {
	t.Helper()
	for _, was := range before.overlay.sagas.Values() {
		is, err := after.current(was.id)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(was.head(), is.head()) {
			t.Errorf("saga %s is %v after a restart, and was %v", was.id, is.head(), was.head())
		}
		for i := range min(len(was.items), len(is.items)) {
			of, again := was.items[len(was.items)-1-i], is.items[len(is.items)-1-i]
			if !proto.Equal(of, again) {
				t.Errorf("item %d of saga %s is %v after a restart, and was %v", of.Head.GetAt(), was.id, again, of)
			}
		}
	}
	for k, v := range before.entries {
		if is := after.entries[k]; is == nil || !bytes.Equal(is.data, v.data) {
			t.Errorf("entry %q is %v after a restart, and was %v", k, is, v)
		}
	}
}

func (h *harness) restore(t testing.TB, backup io.Reader) (store.Store, error) {
	path := filepath.Join(t.TempDir(), "restored.db")
	if err := Restore(t.Context(), backup, path, RestoreOptions{Keys: h.options.Keys}); err != nil {
		return nil, err
	}
	s, err := Open(path, testOptions(h.options))
	if err == nil {
		t.Cleanup(func() { s.abort() })
	}
	return s, err
}

// damage makes the head of a saga unreadable.
func (h *harness) damage(t testing.TB, id contract.SagaID) {
	t.Helper()
	h.damaged = id
	if err := h.store.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := h.store.db.Update(func(tx *bolt.Tx) error {
		body, err := tableIDs.get(tx, []byte(id))
		if err != nil {
			return err
		}
		key := partKey(unsortable(binary.BigEndian.Uint64(body)), id, partHead, nil)
		v := bytes.Clone(tableSagas.bucket(tx).Get(key))
		v[len(v)-1] ^= 1
		return tableSagas.bucket(tx).Put(key, v)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// verify checks the state as checkpoints have left it. A saga that was damaged must leave no trace once
// it is removed.
func (h *harness) verify(t testing.TB) {
	t.Helper()
	if h.damaged != "" {
		if _, err := h.store.Load(t.Context(), h.damaged); errors.Is(err, store.ErrCorrupt) {
			return
		}
		if err := h.store.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.damaged = ""
	}
	if err := h.store.Verify(t.Context()); err != nil && !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
}
