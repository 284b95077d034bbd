package simulation

import (
	"slices"
	"testing"
)

// bugSeeds is the number of seeds within which every planted bug must be caught.
const bugSeeds = 2000

// TestPlantedBugsAreCaught checks that every planted bug is caught by the invariant that it breaks
// (I1 to I11). Without this, a checker that finds nothing would prove nothing.
func TestPlantedBugsAreCaught(t *testing.T) {
	for _, planted := range Bugs {
		t.Run(string(planted.Bug), func(t *testing.T) {
			for seed := uint64(1); seed <= bugSeeds; seed++ {
				r := Run(t.Context(), Options{Seed: seed, Bug: planted.Bug})
				at := slices.IndexFunc(r.Violations, func(v Violation) bool { return v.Invariant == planted.Invariant })
				if at >= 0 {
					t.Logf("seed %d: %s", seed, r.Violations[at])
					return
				}
			}
			t.Errorf("not caught by %s within %d seeds", planted.Invariant, bugSeeds)
		})
	}
}
