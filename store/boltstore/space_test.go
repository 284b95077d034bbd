package boltstore_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestSpaceIsUsedAgain checks that the space of deleted data is reused (I10). Each round starts
// sagas, enqueues messages and removes everything; no round may use more space than the first.
func TestSpaceIsUsedAgain(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{})
	const sagas = 2000
	const waiting = 2 << 20 // of the 2,048 outbox records that are swept together
	var most int64          // highest number of bytes in use
	for round := range 6 {
		changes := make([]store.Change, sagas)
		for i := range changes {
			changes[i] = storetest.Start(contract.SagaID(fmt.Sprintf("r%d-%d", round, i)), storetest.Checkout, storetest.Epoch)
			changes[i].Instance.Phase, changes[i].Instance.Ended = contract.PhaseCompensated, storetest.Epoch
		}
		results, err := s.Commit(t.Context(), changes)
		if err != nil || results[0] != nil {
			t.Fatal(results[0], err)
		}
		full := space(t, s)
		most = max(most, full.Used)
		forget(t, s)
		quiet := space(t, s)
		t.Logf("round %d: full %+v, quiet %+v", round+1, full, quiet)
		if quiet.Used > waiting {
			t.Errorf("round %d leaves %d bytes in use, at most %d may wait to be swept", round+1, quiet.Used, waiting)
		}
		if quiet.Reached > most*5/4 || quiet.File > quiet.Reached+boltstore.FileGrowth {
			t.Errorf("round %d: %+v, and at most %d were in use at once", round+1, quiet, most)
		}
	}
}

func space(t *testing.T, s *boltstore.Store) boltstore.Space {
	t.Helper()
	space, err := s.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return space
}

// forget removes every saga that has ended, and then its tombstone.
func forget(t *testing.T, s *boltstore.Store) {
	t.Helper()
	for later := time.Now(); ; {
		removed, dropped, err := s.Expire(t.Context(), later, later, 0)
		if err != nil {
			t.Fatal(err)
		}
		if removed+dropped == 0 {
			return
		}
	}
}
