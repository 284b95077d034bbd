package store_test

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// A tombstone with an unknown start has no birth, rather than that of a saga started before 1970.
func TestBirthOfATombstone(t *testing.T) {
	started := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]contract.Birth{{}: 0, started: contract.BirthOf(started), time.Unix(-1, 0): 1} {
		if got := (&store.TombstoneError{Started: at}).Birth(); got != want {
			t.Errorf("started %s: %d, want %d", at, got, want)
		}
	}
}
