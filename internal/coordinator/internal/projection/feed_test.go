package projection

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// single returns a projection with one part.
func single() *Projection { return New(1, func(contract.SagaID) int { return 0 }, time.Unix(1000, 0)) }

// started returns the change for the start of a saga.
func started(i int) Change {
	id := contract.SagaID(fmt.Sprint(i))
	return Change{Standing: Standing{Saga: id, Birth: 1, Revision: 1, Phase: contract.PhaseRunning, Open: true}, Event: contract.EventStarted, At: time.Unix(1000, 0)}
}

// TestFeedLosesNothingSilently checks that a reader gets every move after its position in order, or
// can tell from the numbers that it is missing (I10).
func TestFeedLosesNothingSilently(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.IntRange(1, 4).Draw(t, "parts")
		p := New(parts, func(id contract.SagaID) int { return int(id[len(id)-1]) % parts }, time.Unix(0, 0))
		const most = 24 // moves that a part keeps
		for _, pt := range p.parts {
			pt.feed.max = most
		}
		at := p.Position()
		added := 0
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			before := added
			for range rapid.SampledFrom([]int{0, 1, 7, most - 1, most, most + 1, 5*most + 3}).Draw(t, "added") {
				c := started(added)
				p.Of(c.Saga).Apply([]Change{c})
				added++
			}
			moves, end, foreign := p.Since(at)
			if foreign || end != p.Position() || end.At != uint64(added) {
				t.Fatalf("foreign %t, at %v after %d", foreign, end, added)
			}
			last := at.At
			for _, m := range moves {
				if m.At <= last || m.Saga != contract.SagaID(fmt.Sprint(m.At-1)) {
					t.Fatalf("%+v comes behind %d", m, last)
				}
				last = m.At
			}
			// The latest moves of each part are kept.
			if fresh := added - before; len(moves) > fresh || len(moves) < min(fresh, most) {
				t.Fatalf("%d of %d are there", len(moves), fresh)
			}
			at = end
		}
	})
}

// TestFeedGivesEachMoveOnce checks that readers that continue from their position get every move
// once, with those of one saga in order, while many parts are changed concurrently.
func TestFeedGivesEachMoveOnce(t *testing.T) {
	const parts, each = 4, MaxFeed / 4
	p := New(parts, func(id contract.SagaID) int { return int(id[0] - '0') }, time.Unix(0, 0))
	begin := p.Position()
	var applying, reading sync.WaitGroup
	for part := range parts {
		applying.Go(func() {
			for revision := uint64(1); revision <= each; revision++ {
				c := started(part)
				c.Revision = revision
				p.Part(part).Apply([]Change{c})
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			at, last := begin, uint64(0)
			seen := map[contract.SagaID]int{}
			for last < parts*each {
				<-p.After(at)
				moves, end, foreign := p.Since(at)
				if foreign || uint64(len(moves)) != end.At-at.At {
					t.Errorf("%d moves between %v and %v", len(moves), at, end)
					return
				}
				for _, m := range moves {
					if last++; m.At != last {
						t.Errorf("%d comes behind %d", m.At, last-1)
					}
					seen[m.Saga]++
				}
				at = end
			}
			for id, n := range seen {
				if n != each {
					t.Errorf("of %s %d moves are seen", id, n)
				}
			}
		})
	}
	applying.Wait()
	reading.Wait()
}

// TestFeedOfAnotherProcess checks that a position from before a restart is recognised as foreign.
func TestFeedOfAnotherProcess(t *testing.T) {
	old, now := single(), single()
	for i := range 3 {
		now.Part(0).Apply([]Change{started(i)})
	}
	if _, _, foreign := now.Since(old.Position()); !foreign {
		t.Error("it is taken for one of this process")
	}
	if _, _, foreign := now.Since(Position{now.incarnation, 4}); !foreign {
		t.Error("a position that was not reached yet is taken")
	}
	for _, wrong := range []string{"x", "1", "1-", "-1", "1-2-3", "1--2", " 1-2", "01-2", "1-99999999999999999999"} {
		if p, err := ParsePosition(wrong); err == nil {
			t.Errorf("%q is read as %v", wrong, p)
		}
	}
	if p, err := ParsePosition(now.Position().String()); err != nil || p != now.Position() {
		t.Errorf("%v, %v", p, err)
	}
}

// TestFeedWakes checks that a move wakes the waiting watchers. The end of the feed wakes all of
// them, and later ones do not wait.
func TestFeedWakes(t *testing.T) {
	p := single()
	open := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return false
		default:
			return true
		}
	}
	at := p.Position()
	first, second := p.After(at), p.After(at)
	if !open(first) || !open(second) {
		t.Error("woken for nothing")
	}
	p.Part(0).Apply([]Change{started(1)})
	if open(first) || open(second) || open(p.After(at)) {
		t.Error("not woken")
	}
	p.Part(0).Apply([]Change{started(1)})
	third := p.After(p.Position())
	if !open(third) {
		t.Error("woken for a change that is known")
	}
	p.CloseFeed()
	p.CloseFeed()
	if open(third) || p.After(at) != nil {
		t.Error("not told that it ended")
	}
}
