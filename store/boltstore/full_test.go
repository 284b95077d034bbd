//go:build !race

package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/storetest"
	"github.com/google/go-cmp/cmp"
)

// TestNoRoomForTheState starts sagas until the state may not grow any more. Then starts are refused, and what
// was started goes on until the reserve in memory is used up: commits wait then. Nothing is lost by a
// kill, and everything goes on by itself once there is room.
func TestNoRoomForTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sagas.db")
		o := testOptions(Options{CheckpointSize: 128 << 10, MaxSize: 512 << 10})
		s, err := Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.abort() }()
		sagas := fillUp(t, s)
		if err := s.Check(t.Context()); !errors.Is(err, store.ErrFull) {
			t.Errorf("Check: %v", err)
		}
		if _, err := s.LoadClaim(t.Context()); err != nil {
			t.Error(err)
		}
		definition, err := storetest.Definition("checkout", 1, "")
		if err = errors.Join(err, s.PutDefinition(t.Context(), definition)); err != nil {
			t.Errorf("an operator's change: %v", err)
		}
		for range 3 { // the log is kept, whatever a start on the full disk does
			s.abort()
			if s, err = Open(path, o); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		done, advanced := make(chan struct{}), 0
		go func() { // answers to all sagas
			defer close(done)
			for round := range 3 {
				for id, in := range sagas {
					c := storetest.Next(in, storetest.Epoch.Add(time.Duration(round)*time.Second))
					if results, err := s.Commit(t.Context(), []store.Change{c}); err != nil || results[0] != nil {
						t.Errorf("%s: %v, %v", id, results, err)
						return
					}
					sagas[id] = c.Instance
					advanced++
				}
			}
		}()
		time.Sleep(5 * time.Second) // virtual
		synctest.Wait()
		if size := s.Stats().OverlayBytes; advanced < len(sagas)/4 || size < fullFactor*o.CheckpointSize || size > (fullFactor+1)*o.CheckpointSize {
			t.Errorf("%d answers of %d sagas got through, until the overlay had %d bytes", advanced, len(sagas), size)
		}
		if w := s.Stats(); w.Waiting != WaitingStateFull || w.WaitingSince.IsZero() || w.BehindSince.IsZero() {
			t.Errorf("while commits wait: %+v", w)
		}
		if err := s.onCheckpointer(t.Context(), func() error { s.db.MaxSize = 0; return nil }, func() {}); err != nil {
			t.Fatal(err)
		}
		<-done
		time.Sleep(2 * fullRetry) // virtual
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		accept(t, s, storetest.Start("one-more", storetest.Checkout, storetest.Epoch))
		s.abort()
		s = reopened(t, path, Options{})
		for id, want := range sagas {
			if in, err := s.Load(t.Context(), id); err != nil || !cmp.Equal(in, want) {
				t.Fatalf("%s: %v, %v", id, in, err)
			}
		}
		if err := s.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// fillUp starts sagas until one is refused.
func fillUp(t *testing.T, s *Store) map[contract.SagaID]*machine.Instance {
	t.Helper()
	sagas := map[contract.SagaID]*machine.Instance{}
	for i := range 10_000 {
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", i)), storetest.Checkout, storetest.Epoch)
		results, err := s.Commit(t.Context(), []store.Change{c})
		if err == nil && errors.Is(results[0], store.ErrFull) {
			return sagas
		}
		if err = errors.Join(append(results, err)...); err != nil {
			t.Fatal(err)
		}
		sagas[c.Instance.ID] = c.Instance
		if size := s.Stats().OverlayBytes; size > (waitFactor+1)*s.options.CheckpointSize {
			t.Fatalf("the overlay has %d bytes, and starts are accepted", size)
		}
	}
	t.Fatal("no start was refused")
	return nil
}

// TestRemoveWithoutRoom removes a damaged saga although no checkpoint can be written. The checkpoint follows by
// itself when there is room.
func TestRemoveWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, Options{}, nil)
		accept(t, h.store, storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
		h.damage(t, "order-1")
		room := func(err error) {
			t.Helper()
			set := func() error {
				h.store.failUpdate = func() error { return err }
				return nil
			}
			if err := h.store.onCheckpointer(t.Context(), set, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		room(&os.PathError{Op: "write", Path: h.path, Err: syscall.ENOSPC})
		if err := h.store.Checkpoint(t.Context()); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Checkpoint: %v", err)
		}
		results, err := h.store.Commit(t.Context(), []store.Change{storetest.Start("order-2", storetest.Checkout, storetest.Epoch)})
		if err != nil || !errors.Is(results[0], store.ErrFull) {
			t.Errorf("a start: %v, %v", results, err)
		}
		if _, err := h.store.RemoveDamaged(t.Context(), "order-1", store.Removal{At: storetest.Epoch, By: "ada"}); err != nil {
			t.Errorf("RemoveDamaged: %v", err)
		}
		if _, err := h.store.Load(t.Context(), "order-1"); !errors.Is(err, store.ErrEnded) {
			t.Errorf("afterwards: %v", err)
		}
		room(nil)
		time.Sleep(2 * fullRetry) // virtual
		if size := h.store.Stats().BehindBytes; size > 0 {
			t.Errorf("with room, %d bytes are in the log alone", size)
		}
		if err := h.store.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		h.store.abort()
	})
}

// TestCheckReportsWaiting checks what Check reports while commits wait.
func TestCheckReportsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), Options{manual: true, MinFree: -1})
		defer s.abort()
		check := func() error { return s.Check(t.Context()) }
		s.setWaiting(WaitingCheckpoint, nil)
		if err := check(); err != nil {
			t.Errorf("at first: %v", err)
		}
		time.Sleep(waitLimit + time.Second) // virtual
		s.setWaiting(WaitingCheckpoint, nil)
		if err := check(); err == nil || errors.Is(err, store.ErrFull) {
			t.Errorf("after %s: %v", waitLimit, err)
		}
		for _, what := range []Waiting{WaitingStateFull, WaitingLogFull} {
			s.setWaiting(what, syscall.ENOSPC)
			if err := check(); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "commits wait") {
				t.Errorf("%s: %v", what, err)
			}
		}
		s.setWaiting(NotWaiting, nil)
		s.setFull(syscall.ENOSPC)
		if err := check(); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "sagas in progress continue") {
			t.Errorf("while only starts are refused: %v", err)
		}
		s.setFull(nil)
		if err := check(); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
