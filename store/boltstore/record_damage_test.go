package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// twenty opens a store with the sagas order-00 to order-19 at revision 1. Each was committed in a
// change of its own, so the journal sequence of a saga is its number plus one.
func twenty(t *testing.T, reported *[]string) *boltstore.Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{
		OnCorrupt: func(err error) { *reported = append(*reported, err.Error()) },
	})
	for i := range 20 {
		apply(t, s, storetest.Start(orderID(i), storetest.Checkout, storetest.Epoch))
	}
	return s
}

func orderID(i int) contract.SagaID { return contract.SagaID(fmt.Sprintf("order-%02d", i)) }

func apply(t *testing.T, s *boltstore.Store, c store.Change) {
	t.Helper()
	if err := try(t, s, c); err != nil {
		t.Fatal(err)
	}
}

func try(t *testing.T, s *boltstore.Store, c store.Change) error {
	t.Helper()
	results, err := s.Commit(t.Context(), []store.Change{c})
	return errors.Join(append(results, err)...)
}

// TestDamagedSagaIsAlone damages each kind of record of one saga. The damage must be reported for
// that saga, and the others must continue.
func TestDamagedSagaIsAlone(t *testing.T) {
	const sick = 7
	id := orderID(sick)
	for _, c := range []struct {
		name, bucket string
		key          []byte
		load         bool // whether Load reports the damage
		commit       bool // whether Commit reports it
	}{
		{"state", "sagas", []byte(id), true, true},
		{"journal", "journal", boltstore.JournalKey(sick + 1), true, false},
	} {
		for _, at := range []int{-9, -6, -2, 0, 5, 60} {
			t.Run(fmt.Sprintf("%s at %d", c.name, at), func(t *testing.T) {
				var reported []string
				s := twenty(t, &reported)
				if err := s.Damage(c.bucket, c.key, at); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Load(t.Context(), id); errors.Is(err, store.ErrCorrupt) != c.load {
					t.Errorf("Load of the damaged saga: %v", err)
				}
				if _, err := s.History(t.Context(), id, 1, 10); !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("History of the damaged saga: %v", err)
				}
				in := storetest.Start(id, storetest.Checkout, storetest.Epoch).Instance
				if err := try(t, s, storetest.Next(in, storetest.Epoch)); errors.Is(err, store.ErrCorrupt) != c.commit {
					t.Errorf("Commit of the damaged saga: %v", err)
				}
				others(t, s, sick)
				list, _, err := s.List(t.Context(), store.Filter{}, store.Page{})
				if err != nil || len(list) != 21 || len(reported) == 0 {
					t.Errorf("list has %d lines (20 and the new one), %d reports, %v", len(list), len(reported), err)
				}
				for _, one := range list {
					if (one.Damage != "") != (one.ID == id) {
						t.Errorf("the list says of %s: %q", one.ID, one.Damage)
					}
				}
				for name, f := range map[string]store.Filter{"by id": {IDs: []contract.SagaID{id, orderID(3)}}, "by prefix": {IDPrefix: "order-0"}, "of the phase": {Phases: []contract.Phase{contract.PhaseRunning}, Definition: "checkout"}} {
					list, _, err := s.List(t.Context(), f, store.Page{})
					if at := slices.IndexFunc(list, func(one store.Summary) bool { return one.ID == id }); err != nil || at < 0 || list[at].Damage == "" {
						t.Errorf("%s the damaged saga is not in the list: %+v, %v", name, list, err)
					}
				}
				if list, _, err := s.List(t.Context(), store.Filter{IDs: []contract.SagaID{id}, Paused: true}, store.Page{}); err != nil || len(list) > 0 {
					t.Errorf("it is listed as paused, which nobody knows: %+v, %v", list, err)
				}
				if err := s.Verify(t.Context()); !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("Verify: %v", err)
				}
			})
		}
	}
}

// others checks that the other sagas can continue, in one group with the damaged one, and that a
// new saga with a neighbouring id can start.
func others(t *testing.T, s *boltstore.Store, sick int) {
	t.Helper()
	var changes []store.Change
	for i := range 20 {
		in := storetest.Start(orderID(i), storetest.Checkout, storetest.Epoch).Instance
		changes = append(changes, storetest.Next(in, storetest.Epoch.Add(time.Second)))
	}
	changes = append(changes, storetest.Start(orderID(sick)+"-beside", storetest.Checkout, storetest.Epoch))
	results, err := s.Commit(t.Context(), changes)
	if err != nil {
		t.Fatalf("Commit of the group: %v", err)
	}
	for i, err := range results {
		if i != sick && err != nil {
			t.Errorf("change %d of the group: %v", i, err)
		}
	}
}

// TestDamagedKeyHidesNoSaga flips bits of a saga's id wherever it occurs in the file. Neither that
// saga nor a neighbour may appear to be missing, because it could then be started a second time.
func TestDamagedKeyHidesNoSaga(t *testing.T) {
	f := newSample(t, 40)
	const id = "order-0007"
	path := filepath.Join(t.TempDir(), "flipped.db")
	corrupt := 0
	for at := 0; ; at++ {
		next := bytes.Index(f.file[at:], []byte(id))
		if next < 0 {
			break
		}
		at += next
		for i := range id {
			data := bytes.Clone(f.file)
			data[at+i] ^= 1 << (i * 3 % 8)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := boltstore.Open(path, boltstore.Options{MapSize: 1})
			if err != nil {
				t.Fatal(err)
			}
			for other := range f.states {
				_, err := s.Load(t.Context(), other)
				if errors.Is(err, store.ErrNotFound) {
					t.Errorf("bit flipped in %s at %d+%d: saga %s seems not to exist", id, at, i, other)
				}
				if other == id && errors.Is(err, store.ErrCorrupt) {
					corrupt++
					start := storetest.Start(id, storetest.Checkout, storetest.Epoch)
					if err := try(t, s, start); !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrConflict) {
						t.Errorf("bit flipped in %s at %d+%d: its start was answered with %v", id, at, i, err)
					}
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if corrupt < 2*len(id) {
		t.Fatalf("only %d flips hit the saga: the test does not bite", corrupt)
	}
}

// TestNoiseHidesNoSaga overwrites sectors. A saga without its key and value cannot be found, but
// its id must not appear to be unused, because it could then be started a second time.
func TestNoiseHidesNoSaga(t *testing.T) {
	f := newSample(t, 40)
	path := filepath.Join(t.TempDir(), "noise.db")
	random := rand.New(rand.NewPCG(11, 26))
	corrupt := 0
	for at := 0; at < len(f.file); at += 512 {
		data := bytes.Clone(f.file)
		for i := at; i < min(at+512, len(data)); i++ {
			data[i] = byte(random.Uint32())
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := boltstore.Open(path, boltstore.Options{MapSize: 1})
		if err != nil {
			continue // refused
		}
		for id := range f.states {
			switch _, err := s.Load(t.Context(), id); {
			case errors.Is(err, store.ErrNotFound):
				t.Errorf("noise from byte %d: saga %s seems not to exist", at, id)
			case errors.Is(err, store.ErrCorrupt):
				corrupt++
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if corrupt == 0 {
		t.Fatal("no saga was hit: the test does not bite")
	}
}

func TestDamagedIndexesArePassedOver(t *testing.T) {
	var reported []string
	s := twenty(t, &reported)
	for _, bucket := range []string{"timers", "index", "owed"} {
		if err := s.Damage(bucket, nil, -2); err != nil {
			t.Fatal(err)
		}
	}
	due, _, err := s.Due(t.Context(), storetest.Epoch.Add(time.Hour), 100)
	if err != nil || len(due) != 19 {
		t.Errorf("%d of 20 are due, want 19, %v", len(due), err)
	}
	list, _, err := s.List(t.Context(), store.Filter{}, store.Page{})
	if err != nil || len(list) != 19 {
		t.Errorf("%d of 20 are listed, want 19, %v", len(list), err)
	}
	owed := 0
	err = outbox.All(t.Context(), s, func(outbox.Position, outbox.Record) bool { owed++; return true })
	if err != nil || owed != 19 {
		t.Errorf("%d of 20 are owed, want 19 (the first has lost its message), %v", owed, err)
	}
	for _, bucket := range []string{"timers", "index", "owed"} {
		if all := strings.Join(reported, "\n"); !strings.Contains(all, "of "+bucket) {
			t.Errorf("nothing of %s is reported:\n%s", bucket, all)
		}
	}
	if s.Stats().Damaged != uint64(len(reported)) {
		t.Errorf("Stats count %d damaged records, %d were reported", s.Stats().Damaged, len(reported))
	}
}

func TestDamagedCountsAreCountedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, boltstore.Options{})
	for i := range 20 {
		apply(t, s, storetest.Start(orderID(i), storetest.Checkout, storetest.Epoch))
	}
	if err := s.Damage("counts", nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	counts, err := open(t, path, boltstore.Options{}).Counts(t.Context())
	if err != nil || len(counts) != 1 || counts[0].Sagas != 20 {
		t.Fatalf("counts %v, %v", counts, err)
	}
}

// TestDamagedSagaDoesNotStopExpire checks that a saga which cannot be removed is kept, and that the
// removal is not retried.
func TestDamagedSagaDoesNotStopExpire(t *testing.T) {
	var reported []string
	s := twenty(t, &reported)
	for i := range 20 {
		c := storetest.Start(orderID(i), storetest.Checkout, storetest.Epoch)
		for c.Instance.Open() {
			c = storetest.Next(c.Instance, storetest.Epoch)
			apply(t, s, c)
		}
	}
	if err := s.Damage("sagas", []byte(orderID(0)), 3); err != nil {
		t.Fatal(err)
	}
	removed := 0
	for range 25 {
		n, _, err := s.Expire(t.Context(), storetest.Epoch.Add(time.Hour), time.Time{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		removed += n
	}
	if removed != 19 || len(reported) != 1 {
		t.Fatalf("%d removed, %d reports: want 19 and 1", removed, len(reported))
	}
	if _, err := s.Load(t.Context(), orderID(0)); !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("the damaged one: %v", err)
	}
}
