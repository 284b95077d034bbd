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
	"github.com/amends-dev/amends/ownership"
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
			s = reopened(t, path, o)
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

// fullLog is a store whose log finds no room on the disk.
type fullLog struct {
	t      *testing.T
	s      *Store
	starts int
	claims uint64 // how many were given to be saved
}

// start starts a saga.
func (f *fullLog) start() error {
	f.starts++
	c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", f.starts)), storetest.Checkout, storetest.Epoch)
	results, err := f.s.Commit(f.t.Context(), []store.Change{c})
	return errors.Join(append(results, err)...)
}

// save saves a claim, or waits for room.
func (f *fullLog) save() <-chan error {
	f.claims++
	done := make(chan error, 1)
	claim := ownership.SavedClaim{Number: f.claims, Incarnation: strings.Repeat("x", 4<<10)}
	go func() { done <- f.s.SaveClaim(f.t.Context(), claim) }()
	synctest.Wait() // no time passes
	return done
}

// fill saves claims until one waits, which it returns, while no segment can be created. Starts are refused before.
func (f *fullLog) fill() (waits <-chan error) {
	for refused := false; ; {
		for _, name := range []string{"spare.new", "next.new"} { // what the log creates in advance, and for a commit
			err := os.Symlink("/dev/full", filepath.Join(logPath(f.s.info.Path), name))
			if err != nil && !errors.Is(err, os.ErrExist) {
				f.t.Fatal(err)
			}
		}
		saved := f.save()
		if f.s.Stats().Waiting == WaitingLogFull {
			if !refused {
				f.t.Error("a commit waits, but no start was refused before")
			}
			return saved
		}
		if err := <-saved; err != nil {
			f.t.Fatal(err)
		}
		if f.s.log.Full() != nil {
			refused = true
			if err := f.start(); !errors.Is(err, store.ErrFull) {
				f.t.Errorf("a start while only spares are left: %v", err)
			}
		}
	}
}

// TestNoRoomForTheLog commits until the log may not grow any more. Starts are refused as soon as it has only spares
// left; operators' changes go on until these are used up, wait then, and go on by themselves once there is room.
// Close ends the wait.
func TestNoRoomForTheLog(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("the system has no device that is always full: ", err)
	}
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sagas.db")
		f := &fullLog{t: t, s: reopened(t, path, Options{manual: true})}
		defer func() { f.s.abort() }()
		synctest.Wait() // the log has its spares
		waits := f.fill()
		if err := f.s.Check(t.Context()); !errors.Is(err, store.ErrFull) {
			t.Errorf("Check: %v", err)
		}
		time.Sleep(3 * fullRetry) // virtual
		synctest.Wait()
		select {
		case err := <-waits:
			if err := errors.Join(err, f.s.Check(t.Context()), f.start()); err != nil {
				t.Errorf("with room: %v", err)
			}
		default:
			t.Fatal("a commit still waits, although there is room")
		}
		waits = f.fill()
		f.s.abort()
		if err := <-waits; !errors.Is(err, store.ErrClosed) {
			t.Errorf("a commit that waits when the store is closed: %v", err)
		}
		f.s = reopened(t, path, Options{manual: true})
		claim, err := f.s.LoadClaim(t.Context())
		if err != nil || claim.Number != f.claims-1 {
			t.Errorf("claim %d is left, %d was acknowledged (%v)", claim.Number, f.claims-1, err)
		}
		last := contract.SagaID(fmt.Sprintf("order-%d", f.starts))
		if _, err := f.s.Load(t.Context(), last); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a start that was refused: %v", err)
		}
	})
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

// TestExpireWaitsForRoom checks that the reserve is not used to remove sagas.
func TestExpireWaitsForRoom(t *testing.T) {
	s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), Options{manual: true})
	defer s.abort()
	c := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	accept(t, s, c, storetest.Reject(c.Instance, storetest.Epoch))
	for want, full := range []error{syscall.ENOSPC, nil} {
		s.setFull(full)
		later := storetest.Epoch.Add(time.Hour)
		if removed, dropped, err := s.Expire(t.Context(), later, later, 0); removed+dropped != want || err != nil {
			t.Errorf("while the disk has no room (%v): %d removed, %d dropped, %v", full, removed, dropped, err)
		}
	}
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
