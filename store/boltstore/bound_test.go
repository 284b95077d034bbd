//go:build !race

package boltstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/storetest"
)

// TestRefusedChangesTakeNoMemory checks that the overlay keeps nothing of what was refused.
func TestRefusedChangesTakeNoMemory(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "sagas.db"), testOptions(Options{manual: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.abort()
	for i := range 100 {
		id := contract.SagaID(fmt.Sprintf("order-%d", i))
		c := storetest.Start(id, storetest.Checkout, storetest.Epoch)
		c.Expected, c.Instance.Revision, c.Enqueue = 1, 2, nil
		results, err := s.Commit(t.Context(), []store.Change{c})
		if err != nil || !errors.Is(results[0], store.ErrConflict) {
			t.Fatalf("%v, %v", results, err)
		}
		if err := s.Discard(t.Context(), []outbox.ID{{Saga: id, Birth: 1, Revision: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.write(t.Context(), func(*group) error { return nil }); err != nil { // commits the discards
		t.Fatal(err)
	}
	if n := s.overlay.sagas.Len(); n > 0 || s.overlay.keys.Len() > 0 || len(s.discarded) > 0 {
		t.Errorf("the overlay has %d sagas and %d keys, and %d messages are discarded", n, s.overlay.keys.Len(), len(s.discarded))
	}
}

// TestRestartsTakeNoSegments opens and kills a store again and again.
func TestRestartsTakeNoSegments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	segments := 0
	for i := range 20 {
		s, err := Open(path, testOptions(Options{manual: true}))
		if err != nil {
			t.Fatal(err)
		}
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", i)), storetest.Checkout, storetest.Epoch)
		if results, err := s.Commit(t.Context(), []store.Change{c}); err != nil || results[0] != nil {
			t.Fatalf("%v, %v", results, err)
		}
		segments = s.Stats().Log.Segments
		s.abort()
	}
	if segments > 12 {
		t.Errorf("the log has %d segments after 20 starts", segments)
	}
}

// TestExpireOfNothingWritesNothing checks that an idle store is not written to.
func TestExpireOfNothingWritesNothing(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "sagas.db"), testOptions(Options{manual: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.abort()
	accept(t, s, storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
	before := s.Stats()
	later := storetest.Epoch.Add(time.Hour)
	if removed, dropped, err := s.Expire(t.Context(), later, later, 0); err != nil || removed+dropped != 0 {
		t.Errorf("%d, %d, %v", removed, dropped, err)
	}
	if after := s.Stats(); after.Log.Records != before.Log.Records || after.Checkpoints != before.Checkpoints {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestBrokenStoreWritesNothing checks that no checkpoint is written after a failed sync.
func TestBrokenStoreWritesNothing(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "sagas.db"), testOptions(Options{manual: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.abort()
	before := s.Stats().Checkpoints
	s.failAppend = func() error { return errors.New("input/output error") }
	if _, err := s.Commit(t.Context(), []store.Change{storetest.Start("order-1", storetest.Checkout, storetest.Epoch)}); !errors.Is(err, store.ErrBroken) {
		t.Fatalf("Commit: %v", err)
	}
	if err := s.Checkpoint(t.Context()); !errors.Is(err, store.ErrBroken) {
		t.Errorf("checkpoint: %v", err)
	}
	if after := s.Stats().Checkpoints; after != before {
		t.Errorf("%d checkpoints were written", after-before)
	}
}
