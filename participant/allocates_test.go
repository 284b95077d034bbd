//go:build !race

// With the race detector, a sync.Pool drops some of what it is given; allocations are not counted
// there.

package participant_test

import "testing"

// A command allocates its answer, its entry, the JSON of its data, and little else.
func TestAnswerAllocates(t *testing.T) {
	p, next := stockroom(), commands()
	each := testing.AllocsPerRun(1000, func() {
		if _, err := p.Answer(t.Context(), next()); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%.0f allocations a command", each)
	if each > 26 {
		t.Errorf("%.0f allocations a command, at most 26", each)
	}
}
