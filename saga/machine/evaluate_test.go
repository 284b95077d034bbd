package machine

import (
	"errors"
	"testing"
)

// sized is a mapping that costs one unit per byte of input, and is costly from 100 bytes on.
type sized struct{ _ int }

func (*sized) Make(input []byte, _ func(int) []byte) ([]byte, error) { return input, nil }

func (*sized) MakeWithin(input []byte, _ func(int) []byte) ([]byte, int, error) {
	if len(input) >= 100 {
		return nil, 100, ErrCostly
	}
	return input, len(input), nil
}

func (*sized) Size(input []byte, _ func(int) []byte) int { return len(input) }

// TestCostlyIsNotTriedAgain checks that a costly mapping is not tried again for the same or a
// larger size, except from time to time for the same size. For a smaller size it must be tried.
func TestCostlyIsNotTriedAgain(t *testing.T) {
	mapping := new(sized)
	plan := &Plan{Steps: []Step{{Name: "one", Mapping: mapping}}}
	budget := NewCostBudget(BatchCost)
	try := func(n int) (cost int, costly bool) {
		budget.Refill()
		_, err := budget.evaluate(plan, 0, make([]byte, n), nil)
		return BatchCost - budget.left, errors.Is(err, ErrCostly)
	}
	for _, tt := range []struct {
		n, cost int
		costly  bool
	}{{200, 100, true}, {200, 0, true}, {300, 0, true}, {5, 5, false}, {120, 100, true}, {120, 0, true}, {150, 0, true}} {
		if cost, costly := try(tt.n); cost != tt.cost || costly != tt.costly {
			t.Errorf("%d bytes: cost %d, costly %v", tt.n, cost, costly)
		}
	}
	begun := 0
	for range 3 * tryAgain {
		if cost, _ := try(200); cost > 0 {
			begun++
		}
	}
	if begun < 2 || begun > 4 {
		t.Errorf("of %d evaluations %d were begun", 3*tryAgain, begun)
	}
	budget.known[mapping].bytes = 0 // found with different data
	for range tryAgain {
		_, _ = try(5)
	}
	if cost, costly := try(5); cost != 5 || costly {
		t.Errorf("what was costly once is so for ever: cost %d", cost)
	}
}
