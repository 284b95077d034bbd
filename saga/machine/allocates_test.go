//go:build !race

// With the race detector, a sync.Pool drops some of what it is given; allocations are not counted
// there.

package machine_test

import "testing"

// TestDecideAllocates checks that a transition allocates memory only for the new state, its
// effects, and little more.
func TestDecideAllocates(t *testing.T) {
	def, n := four(t, ""), 0
	each := testing.AllocsPerRun(100, func() { n = run(t, def) }) / float64(n)
	t.Logf("%.1f allocations a transition", each)
	if each > 6 {
		t.Errorf("%.1f allocations a transition, at most 6", each)
	}
}
