package coordinator

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// Sagas that cannot be moved are counted once each, until they can be, and never more
// than the bound.
func TestBlocked(t *testing.T) {
	var b blocked
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rot := &store.CorruptError{What: "record", Why: "its checksum is wrong"}
	count := func(want int64) {
		t.Helper()
		if n := b.count.Load(); n != want {
			t.Fatalf("%d are blocked, want %d", n, want)
		}
	}
	b.remove("healthy") // nothing is known
	if !b.add("young", fmt.Errorf("load: %w", rot), at.Add(time.Second)) || !b.add("old", rot, at) {
		t.Error("a saga that was not known is no news")
	}
	b.add("orphan", fmt.Errorf("x/1: %w", ErrUnknownDefinition), at.Add(time.Minute))
	if b.add("old", rot, at.Add(time.Hour)) {
		t.Error("a saga is news twice: whoever answers it again and again would fill the log")
	}
	count(3)
	told := b.list()
	if len(told) != 3 || told[0].Saga != "old" || !told[0].Since.Equal(at) || told[2].Saga != "orphan" || told[1].Reason != "load: "+rot.Error() {
		t.Errorf("told %+v", told)
	}
	b.remove("healthy")
	count(3)
	b.defined() // a definition came: what waits for one is tried again
	count(2)
	b.remove("old")
	count(1)
	for i := range 2 * MaxBlocked {
		b.add(contract.SagaID(fmt.Sprintf("saga-%04d", i)), rot, at)
	}
	count(MaxBlocked)
	if b.add("one more", rot, at) {
		t.Error("a saga for which there is no room is news every time")
	}
	if told := b.list(); len(told) != maxListed || told[0].Saga != "saga-0000" {
		t.Errorf("told %d, the first %+v", len(told), told[0])
	}
}

func TestBlocks(t *testing.T) {
	rot, gone := &store.CorruptError{What: "record"}, fmt.Errorf("x/1: %w", ErrUnknownDefinition)
	for _, test := range []struct {
		err   error
		event contract.EventType
		want  bool
	}{
		{nil, contract.EventTimerFired, false},
		{errors.New("anything"), contract.EventTimerFired, false},
		{rot, contract.EventTimerFired, true},
		{rot, contract.EventStarted, true}, // the id is taken by what cannot be read
		{gone, contract.EventStepAnswered, true},
		{gone, contract.EventStarted, false}, // its caller was wrong; there is no saga
	} {
		if got := blocks(test.err, test.event); got != test.want {
			t.Errorf("%v of %s: %t", test.err, test.event, got)
		}
	}
}
