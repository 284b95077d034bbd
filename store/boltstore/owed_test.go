package boltstore_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestLeftoversAreSwept checks that records which were discarded but not yet swept before a crash
// are deleted at the next start.
func TestLeftoversAreSwept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, boltstore.Options{})
	for i := range 20 {
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%02d", i)), storetest.Checkout, storetest.Epoch)
		commit(t, s, c, storetest.Next(c.Instance, storetest.Epoch.Add(time.Second))) // discards the start's
	}
	if n := s.Records("owed"); n != 40 {
		t.Fatalf("%d records, want those of 40 changes: nothing was swept yet", n)
	}
	s.Abort()
	s = open(t, path, boltstore.Options{})
	if n := s.Records("owed"); n != 20 {
		t.Errorf("%d records after a crash, want the 20 that are owed", n)
	}
}

// TestVerifyMissesMessages checks that Verify reports a pending message whose record is missing.
func TestVerifyMissesMessages(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{})
	for _, id := range []contract.SagaID{"order-1", "order-2"} {
		commit(t, s, storetest.Start(id, storetest.Checkout, storetest.Epoch))
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("owed", boltstore.OwedKey("shop", 2)); err != nil {
		t.Fatal(err)
	}
	err := s.Verify(t.Context())
	if err == nil || !strings.Contains(err.Error(), "order-2/hnqzporc5c@1#0") || !strings.Contains(err.Error(), "its message is missing") ||
		strings.Contains(err.Error(), "order-1") {
		t.Errorf("got %v", err)
	}
}

// TestDiscardedGather checks that the discarded records of sagas that do not change are kept until
// they are deleted together, and that the heads then no longer refer to them.
func TestDiscardedGather(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{})
	var ids []outbox.ID
	for from := 0; from < 3000; from += 100 {
		var changes []store.Change
		for i := range 100 {
			c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%04d", from+i)), storetest.Checkout, storetest.Epoch)
			changes, ids = append(changes, c), append(ids, c.Enqueue[0].ID)
		}
		if _, err := s.Commit(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Discard(t.Context(), ids[:2500]); err != nil {
		t.Fatal(err)
	}
	commit(t, s, storetest.Start("another", storetest.Checkout, storetest.Epoch))
	if n := s.Records("owed"); n != 501 {
		t.Errorf("%d records, want the 501 that are owed", n)
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
