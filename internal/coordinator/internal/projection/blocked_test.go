package projection

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Each blocked saga is counted once until it makes progress; their number never exceeds the bound.
func TestBlocked(t *testing.T) {
	p := New(2, func(id contract.SagaID) int { return int(id[len(id)-1]) % 2 }, time.Unix(0, 0))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rot, gone := errors.New("its checksum is wrong"), errors.New("no definition")
	block := func(id contract.SagaID, err error, at time.Time) bool { return p.Of(id).Block(id, err, at) }
	unblock := func(id contract.SagaID) { p.Of(id).Apply([]Change{{Standing: Standing{Saga: id}}}) }
	check := func(want int) {
		t.Helper()
		if n := p.BlockedCount(); n != want || len(p.Blocked()) != want {
			t.Fatalf("%d are blocked, and %d listed, want %d", n, len(p.Blocked()), want)
		}
	}
	unblock("healthy") // it is not blocked
	if !block("young", rot, at.Add(time.Second)) || !block("old", rot, at) {
		t.Error("a saga that was not known is no news")
	}
	block("orphan", gone, at.Add(time.Minute))
	if block("old", rot, at.Add(time.Hour)) {
		t.Error("a saga is news twice: whoever answers it again and again would fill the log")
	}
	check(3)
	told := p.Blocked()
	if told[0].Saga != "old" || !told[0].Since.Equal(at) || told[2].Saga != "orphan" || !errors.Is(told[1].Err, rot) {
		t.Errorf("told %+v", told)
	}
	if !p.IsBlocked("old") || p.IsBlocked("healthy") {
		t.Error("another one is blocked")
	}
	unblock("healthy")
	check(3)
	p.UnblockAll(func(err error) bool { return errors.Is(err, gone) })
	check(2)
	p.Of("old").Apply([]Change{started(1), {Standing: Standing{Saga: "old", Birth: 1, Revision: 7, Phase: contract.PhaseRunning, Open: true}}})
	check(1)
	for i := range 2 * MaxBlocked {
		id := contract.SagaID(fmt.Sprintf("saga-%04d", i))
		block(id, rot, at)
	}
	check(MaxBlocked)
	if block("one more", rot, at) {
		t.Error("a saga for which there is no room is news every time")
	}
}

// A saga that cannot be read is not reported by Moving.
func TestBlockedDoesNotMove(t *testing.T) {
	p := single()
	p.Part(0).Apply([]Change{started(1)})
	p.Part(0).Block("1", errors.New("rot"), time.Unix(1, 0))
	if _, moving := p.Moving("1"); moving {
		t.Error("it is said to move")
	}
}
