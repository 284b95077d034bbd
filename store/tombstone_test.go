package store_test

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// A tombstone of a saga whose start nobody can read any more has no birth, and not the one
// of a saga that was started before 1970.
func TestBirthOfATombstone(t *testing.T) {
	started := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]contract.Birth{{}: 0, started: contract.BirthOf(started), time.Unix(-1, 0): 1} {
		if got := (&store.TombstoneError{Started: at}).Birth(); got != want {
			t.Errorf("started %s: %d, want %d", at, got, want)
		}
	}
}
