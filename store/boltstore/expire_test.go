package boltstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/store/boltstore"
)

// TestExpireOfNothingWritesNothing checks that Expire, which is called every few seconds, writes
// nothing when nothing is due.
func TestExpireOfNothingWritesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{})
	before := s.Stats().Transactions
	for range 10 {
		if _, _, err := s.Expire(t.Context(), time.Now(), time.Now(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Transactions - before; n != 0 {
		t.Errorf("%d transactions, each with two fsyncs", n)
	}
}
