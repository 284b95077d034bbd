package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

func testReopen(t *testing.T, h Harness) {
	s := h.Store
	all := spread(t, s)
	before := snapshot(t, s, all)
	for range 3 {
		s = h.Reopen(t)
		equal(t, "after a restart", snapshot(t, s, all), before)
	}
	for _, in := range all {
		if in.Open() {
			commit(t, s, Next(in, Epoch.Add(time.Hour)))
		}
	}
	begin(t, s, "after", Epoch)
}

// testClock checks that the saved clock survives a restart.
func testClock(t *testing.T, h Harness) {
	if got, err := h.Store.Clock(t.Context()); err != nil || got != (store.Clock{}) {
		t.Fatalf("a new store remembers %+v, %v", got, err)
	}
	want := store.Clock{Boot: "b-1", Running: 77 * time.Hour, Wall: Epoch.Add(1), Total: -time.Hour - 1, Retimes: true, Held: 24 * time.Hour}
	for range 2 {
		if err := h.Store.SetClock(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		h.Store = h.Reopen(t)
		if got, err := h.Store.Clock(t.Context()); err != nil || got != want {
			t.Errorf("it remembers %+v, %v; want %+v", got, err, want)
		}
		want.Retimes, want.Total, want.Wall = false, time.Hour, Epoch.Add(-time.Minute).UTC()
	}
}

// testClaim checks that a claim and the store's identity survive a restart, and that a restored
// backup has a new identity but the same claim.
func testClaim(t *testing.T, h Harness) {
	s := h.Store
	first, err := s.LoadClaim(t.Context())
	if err != nil || first.Store == "" || first.Number != 0 || first.Incarnation != "" {
		t.Fatalf("a new store owns %+v, %v", first, err)
	}
	want := ownership.SavedClaim{Store: first.Store, Number: 1_767_225_600, Incarnation: "b", Before: "a"}
	given := want
	given.Store = "not the store's to be told"
	if err := s.SaveClaim(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	holds := func(what string, s store.Store, want ownership.SavedClaim) {
		t.Helper()
		if got, err := s.LoadClaim(t.Context()); err != nil || got != want {
			t.Errorf("%s it owns %+v, %v; want %+v", what, got, err, want)
		}
	}
	holds("at once", s, want)
	s = h.Reopen(t)
	holds("after a restart", s, want)
	if h.Restore == nil {
		return
	}
	seen := map[string]bool{want.Store: true}
	for range 2 {
		var backup bytes.Buffer
		if _, err := s.Backup(t.Context(), &backup); err != nil {
			t.Fatal(err)
		}
		if s, err = h.Restore(t, &backup); err != nil {
			t.Fatal(err)
		}
		got, err := s.LoadClaim(t.Context())
		if err != nil || seen[got.Store] {
			t.Fatalf("restored, it is the store %s, %v, as one before it", got.Store, err)
		}
		seen[got.Store] = true
		want.Store = got.Store
		holds("restored,", s, want)
	}
}

// picture holds everything that can be read from a store.
type picture struct {
	Sagas     []*machine.Instance
	Histories [][]machine.Event
	List      []store.Summary
	Counts    []store.Count
	Pending   []outbox.Record
	Due       []contract.SagaID
	Next      time.Time
}

func snapshot(t testing.TB, s store.Store, all []*machine.Instance) picture {
	t.Helper()
	var p picture
	for _, in := range all {
		p.Sagas = append(p.Sagas, load(t, s, in.ID))
		p.Histories = append(p.Histories, history(t, s, in.ID, 1, 0))
	}
	var errs [3]error
	p.List, _, errs[0] = listAll(t.Context(), s, store.Filter{}, 7)
	p.Counts, errs[1] = s.Counts(t.Context())
	p.Due, p.Next, errs[2] = s.Due(t.Context(), Epoch.Add(40*time.Second), 15)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	p.Pending = pendingBy(t, s)
	return p
}

func testClosed(t *testing.T, h Harness) {
	s := h.Store
	begin(t, s, "order-1", Epoch)
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("Check of an open store: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Commit(cancelled, []store.Change{Start("order-2", Checkout, Epoch)})
	wantError(t, "Commit with a context that ended", err, context.Canceled)
	_, err = s.Load(t.Context(), "order-2")
	wantError(t, "nothing was committed", err, store.ErrNotFound)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("the second Close: %v", err)
	}
	d, err := Definition("checkout", 1, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Commit":  func() error { _, err := s.Commit(ctx, nil); return err },
		"Load":    func() error { _, err := s.Load(ctx, "order-1"); return err },
		"History": func() error { _, err := s.History(ctx, "order-1", 1, 1); return err },
		"List":    func() error { _, _, err := s.List(ctx, store.Filter{}, store.Page{}); return err },
		"Counts":  func() error { _, err := s.Counts(ctx); return err },
		"Due":     func() error { _, _, err := s.Due(ctx, Epoch, 1); return err },
		"Pending": func() error {
			return outbox.All(ctx, s, func(outbox.Position, outbox.Record) bool { return true })
		},
		"Discard":       func() error { return s.Discard(ctx, nil) },
		"PutDefinition": func() error { return s.PutDefinition(ctx, d) },
		"Definitions":   func() error { _, err := s.Definitions(ctx); return err },
		"Expire":        func() error { _, _, err := s.Expire(ctx, Epoch, Epoch, 1); return err },
		"Check":         func() error { return s.Check(ctx) },
	} {
		wantError(t, name+" after Close", call(), store.ErrClosed)
	}
	equal(t, "after a restart", load(t, h.Reopen(t), "order-1").Revision, uint64(1))
}

func testBackup(t *testing.T, h Harness) {
	s := h.Store
	if h.Restore == nil {
		if _, err := s.Backup(t.Context(), io.Discard); !errors.Is(err, errors.ErrUnsupported) {
			t.Fatalf("Backup of a store without backups: %v", err)
		}
		return
	}
	all := spread(t, s)
	before := snapshot(t, s, all)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := runSaga(t, s, contract.SagaID(fmt.Sprintf("load-%d-%05d", w, i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var backups [3]bytes.Buffer
	for i := range backups {
		n, err := s.Backup(t.Context(), &backups[i])
		if err != nil || n != int64(backups[i].Len()) {
			t.Fatalf("Backup: %d bytes of %d, %v", n, backups[i].Len(), err)
		}
	}
	close(stop)
	wg.Wait()
	for i := range backups {
		restored, err := h.Restore(t, &backups[i])
		if err != nil {
			t.Fatalf("restore backup %d: %v", i, err)
		}
		checkRestored(t, restored, all, before)
		if err := restored.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// checkRestored checks that the sagas which did not change during the backup are equal, and that
// the others are consistent.
func checkRestored(t *testing.T, s store.Store, all []*machine.Instance, before picture) {
	t.Helper()
	after := snapshot(t, s, all)
	equal(t, "restored sagas", after.Sagas, before.Sagas)
	equal(t, "restored histories", after.Histories, before.Histories)
	list, _, err := listAll(t.Context(), s, store.Filter{IDPrefix: "load-"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, sum := range list {
		in := load(t, s, sum.ID)
		if events := history(t, s, sum.ID, 1, 0); uint64(len(events)) != in.Revision {
			t.Fatalf("saga %s at revision %d has %d events", sum.ID, in.Revision, len(events))
		}
	}
	begin(t, s, "after-the-restore", Epoch)
}
