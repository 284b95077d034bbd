//go:build !race

package boltstore

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/storetest"
)

// TestCheckpointsBegin checks that a checkpoint begins when the oldest change is old, and as soon as the overlay is
// large, while no commit has to wait.
func TestCheckpointsBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{CheckpointSize: 64 << 10, CheckpointAge: 10 * time.Second}
		s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), o)
		defer s.abort()
		behind := func() bool {
			synctest.Wait() // no time passes
			return s.Stats().BehindBytes > 0
		}
		n := 0
		start := func() {
			n++
			accept(t, s, storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", n)), storetest.Checkout, storetest.Epoch))
		}
		start()
		time.Sleep(8 * time.Second) // virtual
		if !behind() {
			t.Error("a checkpoint was written early")
		}
		time.Sleep(4 * time.Second) // virtual
		if behind() {
			t.Error("no checkpoint was written of what is old")
		}
		for start(); behind(); start() {
			if size := s.Stats().OverlayBytes; size > s.options.CheckpointSize*5/4 {
				t.Fatalf("no checkpoint was begun, although the overlay has %d bytes", size)
			}
		}
		if n < 10 {
			t.Errorf("a checkpoint was written after %d starts", n)
		}
	})
}

// TestPiecesAreWrittenInOrder checks that a checkpoint writes sagas in the order of their keys, whatever the order of
// their changes, so that the pages of a piece lie side by side.
func TestPiecesAreWrittenInOrder(t *testing.T) {
	var s *Store
	var written []string // keys of the rows of sagas, in order
	pieces := 0
	o := testOptions(Options{manual: true, pieceSagas: 1})
	o.step = func(step string) {
		if step != "piece" || s == nil { // or Open writes a checkpoint
			return
		}
		before := written
		written = nil
		err := s.db.View(func(tx *bolt.Tx) error {
			return tableSagas.bucket(tx).ForEach(func(k, _ []byte) error {
				written = append(written, string(k))
				return nil
			})
		})
		if pieces++; err != nil || len(written) <= len(before) || !slices.Equal(written[:len(before)], before) {
			t.Errorf("after %q, piece %d made it %q (%v)", before, pieces, written, err)
		}
	}
	var err error
	if s, err = Open(filepath.Join(t.TempDir(), "sagas.db"), o); err != nil {
		t.Fatal(err)
	}
	defer s.abort()
	for i := range 7 {
		n := i * 5 % 7
		id := contract.SagaID(fmt.Sprintf("order-%d", 9-n)) // in another order than their starts
		accept(t, s, storetest.Start(id, storetest.Checkout, storetest.Epoch.Add(time.Duration(n/2)*time.Second)))
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pieces != 7 {
		t.Errorf("%d pieces were written, want one for each saga", pieces)
	}
}

// TestPiecesAreBounded checks that no transaction of a checkpoint writes many sagas, or many bytes.
func TestPiecesAreBounded(t *testing.T) {
	for name, tt := range map[string]struct{ sagas, bytes, pieces int }{
		"many sagas":  {maxPieceSagas + 1, 10, 2},
		"large sagas": {5, pieceBytes / 4, 2},
	} {
		pieces := 0
		o := testOptions(Options{manual: true})
		o.step = func(step string) {
			if step == "piece" {
				pieces++
			}
		}
		s, err := Open(filepath.Join(t.TempDir(), "sagas.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		var changes []store.Change
		for i := range tt.sagas {
			c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", i)), storetest.Checkout, storetest.Epoch)
			c.Instance.Input = bytes.Repeat([]byte("x"), tt.bytes)
			changes = append(changes, c)
		}
		accept(t, s, changes...)
		pieces = 0 // those of Open do not count
		if err := s.Checkpoint(t.Context()); err != nil || pieces != tt.pieces {
			t.Errorf("%s: %d pieces, want %d (%v)", name, pieces, tt.pieces, err)
		}
		s.abort()
	}
}
