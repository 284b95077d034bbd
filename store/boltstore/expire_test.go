package boltstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/store/boltstore"
)

// Expire is asked every few seconds: what has nothing to expire must not write.
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
