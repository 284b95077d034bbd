package boltstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

func TestGroupCommitSharesWrites(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{})
	const writers, each = 64, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				c := storetest.Start(contract.SagaID(fmt.Sprintf("w%d-%d", w, i)), storetest.Checkout, storetest.Epoch)
				if results, err := s.Commit(t.Context(), []store.Change{c}); err != nil || results[0] != nil {
					t.Errorf("Commit: %v, %v", results, err)
				}
			}
		})
	}
	wg.Wait()
	stats := s.Stats()
	if stats.Calls != writers*each || stats.Changes != writers*each {
		t.Errorf("stats %+v: want %d calls and changes", stats, writers*each)
	}
	if stats.Transactions > writers*each/4 {
		t.Errorf("%d calls of %d callers took %d transactions: they do not share", writers*each, writers, stats.Transactions)
	}
	t.Logf("%d calls in %d transactions, at most %d together", stats.Calls, stats.Transactions, stats.LargestGroup)
}

func TestFailedCommitBreaksTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, boltstore.Options{})
	ctx := t.Context()
	start := func(id contract.SagaID) error {
		results, err := s.Commit(ctx, []store.Change{storetest.Start(id, storetest.Checkout, storetest.Epoch)})
		return errors.Join(append(results, err)...)
	}
	if err := start("order-1"); err != nil {
		t.Fatal(err)
	}
	fail := true
	s.FailCommits(func() error {
		if fail {
			fail = false // a retry would succeed, but must not happen
			return syscall.ENOSPC
		}
		return nil
	})
	if err := start("order-2"); !errors.Is(err, store.ErrBroken) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the failed commit returned %v", err)
	}
	_, load := s.Load(ctx, "order-1")
	_, _, list := s.List(ctx, store.Filter{}, store.Page{})
	for name, err := range map[string]error{
		"Commit": start("order-3"), "Load": load, "List": list, "Check": s.Check(ctx),
		"Discard": s.Discard(ctx, []outbox.ID{{Saga: "order-1", Revision: 1}}),
	} {
		if !errors.Is(err, store.ErrBroken) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s after the failure returned %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, boltstore.Options{})
	if err := errors.Join(start("order-2"), s.Verify(ctx)); err != nil {
		t.Fatalf("after the restart: %v", err)
	}
}

func TestFullDiskBreaksTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, boltstore.Options{MapSize: 1 << 20, MaxSize: 2 << 20})
	var broken error
	acknowledged := 0
	for i := 0; broken == nil && i < 100_000; i++ {
		var results []error
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%06d", i)), storetest.Checkout, storetest.Epoch)
		c.Instance.Input = make([]byte, 20_000)
		if results, broken = s.Commit(t.Context(), []store.Change{c}); broken == nil {
			if results[0] != nil {
				t.Fatal(results[0])
			}
			acknowledged++
		}
	}
	if !errors.Is(broken, store.ErrBroken) {
		t.Fatalf("a full file gave %v", broken)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, boltstore.Options{})
	counts, err := s.Counts(t.Context())
	if err != nil || counts[0].Sagas != acknowledged {
		t.Fatalf("%d were acknowledged, the file has %v (%v)", acknowledged, counts, err)
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCheckSeesAFullDiskComing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{MinFree: 1 << 60})
	if err := s.Check(t.Context()); err == nil {
		t.Fatal("Check said nothing")
	}
}
