package coordinator

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// TestFeedLosesNothingSilently: whatever is added and asked when, everything behind
// a position is either given, in its order, or counted as lost (I10).
func TestFeedLosesNothingSilently(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFeed()
		at := f.position()
		next := 0 // the first that the reader has not accounted for
		added := 0
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			for range rapid.SampledFrom([]int{0, 1, 7, MaxFeed - 1, MaxFeed, MaxFeed + 1, 2*MaxFeed + 3}).Draw(t, "added") {
				f.add(&Transition{Saga: contract.SagaID(fmt.Sprint(added))})
				added++
			}
			moves, lost, foreign := f.since(at)
			if foreign || len(moves) > MaxFeed {
				t.Fatalf("foreign %t, %d moves", foreign, len(moves))
			}
			next += int(lost)
			for _, m := range moves {
				if m.id != contract.SagaID(fmt.Sprint(next)) {
					t.Fatalf("%s comes where %d is next", m.id, next)
				}
				next++
			}
			if next != added {
				t.Fatalf("%d of %d are accounted for", next, added)
			}
			at.at += lost + uint64(len(moves))
			if at != f.position() {
				t.Fatalf("at %v, the feed is at %v", at, f.position())
			}
		}
	})
}

// TestFeedOfAnotherProcess: a position of before a restart is not taken for one of
// now.
func TestFeedOfAnotherProcess(t *testing.T) {
	old, now := newFeed(), newFeed()
	for range 3 {
		now.add(&Transition{})
	}
	if _, _, foreign := now.since(old.position()); !foreign {
		t.Error("it is taken for one of this process")
	}
	if _, _, foreign := now.since(position{now.incarnation, 4}); !foreign {
		t.Error("a position that was not reached yet is taken")
	}
	for _, wrong := range []string{"x", "1", "1-", "-1", "1-2-3", "1--2", " 1-2", "01-2", "1-99999999999999999999"} {
		if p, err := parsePosition(wrong); err == nil {
			t.Errorf("%q is read as %v", wrong, p)
		}
	}
	if p, err := parsePosition(now.position().String()); err != nil || p != now.position() {
		t.Errorf("%v, %v", p, err)
	}
}

// TestFeedWakes those who wait, and once and for all when it ends.
func TestFeedWakes(t *testing.T) {
	f := newFeed()
	open := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return false
		default:
			return true
		}
	}
	first, second := f.after(0), f.after(0)
	if !open(first) || !open(second) {
		t.Error("woken for nothing")
	}
	f.add(&Transition{})
	if open(first) || open(second) || open(f.after(0)) {
		t.Error("not woken")
	}
	third := f.after(1)
	f.close()
	f.close()
	if open(third) || f.after(1) != nil {
		t.Error("not told that it ended")
	}
}
