package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

func history(t testing.TB, s store.Store, id contract.SagaID, from uint64, limit int) []machine.Event {
	t.Helper()
	events, err := s.History(t.Context(), id, from, limit)
	if err != nil {
		t.Fatalf("History(%s, %d, %d): %v", id, from, limit, err)
	}
	return events
}

func testHistory(t *testing.T, h Harness) {
	s := h.Store
	var want []machine.Event
	in := begin(t, s, "order-1", Epoch)
	other := begin(t, s, "order-11", Epoch)
	want = append(want, Start("order-1", Checkout, Epoch).Events...)
	for in.Open() {
		c := Next(in, in.Updated.Add(time.Second))
		commit(t, s, c, Next(other, Epoch))
		other = Next(other, Epoch).Instance
		want = append(want, c.Events...)
		in = c.Instance
	}
	equal(t, "whole history", history(t, s, "order-1", 0, 0), want)
	equal(t, "from 1", history(t, s, "order-1", 1, 100), want)
	equal(t, "the middle", history(t, s, "order-1", 2, 2), want[1:3])
	equal(t, "the end", history(t, s, "order-1", 5, 10), want[4:])
	equal(t, "behind the end", history(t, s, "order-1", 6, 10), []machine.Event(nil))
	equal(t, "far behind the end", history(t, s, "order-1", math.MaxUint64, 10), []machine.Event(nil))
	_, err := s.History(t.Context(), "order-2", 1, 10)
	wantError(t, "history of an unknown saga", err, store.ErrNotFound)
}

func testLongHistory(t *testing.T, h Harness) {
	s := h.Store
	in := begin(t, s, "order-1", Epoch)
	want := Start("order-1", Checkout, Epoch).Events
	for round := range 40 {
		var changes []store.Change
		for i := range 10 {
			c := change(in, machine.Event{Type: contract.EventTimerFired, Timer: contract.TimerDeadline, At: Epoch.Add(time.Duration(round*10+i) * time.Second)})
			changes, in = append(changes, c), c.Instance
			want = append(want, c.Events...)
		}
		commit(t, s, changes...)
	}
	equal(t, "whole history", history(t, s, "order-1", 1, 0), want)
	for from := 1; from <= len(want); from += 7 {
		for _, limit := range []int{1, 64, 65} {
			end := min(from-1+limit, len(want))
			equal(t, fmt.Sprintf("%d events from %d", limit, from), history(t, s, "order-1", uint64(from), limit), want[from-1:end])
		}
	}
	commit(t, s, Abandon(in, Epoch.Add(time.Hour)))
	removed, _, err := s.Expire(t.Context(), Epoch.Add(2*time.Hour), time.Time{}, 0)
	if err != nil || removed != 1 {
		t.Fatalf("Expire of a long saga: %d, %v", removed, err)
	}
}

func testPending(t *testing.T, h Harness) {
	s := h.Store
	c := Start("order-1", Checkout, Epoch)
	commit(t, s, c)
	equal(t, "pending after the start", pendingBy(t, s), c.Enqueue)
	next := Next(c.Instance, Epoch.Add(time.Second))
	commit(t, s, next)
	equal(t, "pending after the answer", pendingBy(t, s), next.Enqueue)
	s = h.Reopen(t)
	equal(t, "pending after a restart", pendingBy(t, s), next.Enqueue)
	unknown := outbox.ID{Saga: "order-9", Revision: 7}
	if err := s.Discard(t.Context(), []outbox.ID{unknown, next.Enqueue[0].ID}); err != nil {
		t.Fatal(err)
	}
	equal(t, "pending after discarding", pendingBy(t, s), []outbox.Record(nil))
	if err := s.Discard(t.Context(), []outbox.ID{next.Enqueue[0].ID}); err != nil {
		t.Fatalf("discard twice: %v", err)
	}
	in := finish(t, s, next.Instance, Epoch.Add(time.Minute))
	equal(t, "pending at the end", ids(pendingBy(t, s)), []outbox.ID{{Saga: "order-1", Birth: in.Birth(), Revision: in.Revision, Index: 1}})
	var many []outbox.ID
	for i := range 10_000 {
		many = append(many, outbox.ID{Saga: "order-9", Revision: uint64(i + 1)})
	}
	if err := s.Discard(t.Context(), append(many, outbox.ID{Saga: "order-1", Birth: in.Birth(), Revision: in.Revision, Index: 1})); err != nil {
		t.Fatalf("discard many: %v", err)
	}
	equal(t, "pending after discarding many", pendingBy(t, s), []outbox.Record(nil))
}

func testPendingOrder(t *testing.T, h Harness) {
	s := h.Store
	want := map[outbox.Destination][]outbox.ID{}
	for _, id := range []contract.SagaID{"b", "A", "a-b", "a", "a-", "a:", "aa"} {
		c := Start(id, Checkout, Epoch)
		for i := range 300 {
			r := c.Enqueue[0]
			r.ID.Index = uint16(i * 217)
			if i > 0 {
				c.Enqueue = append(c.Enqueue, r)
			}
			want[r.To] = append(want[r.To], r.ID)
		}
		commit(t, s, c)
		next := Next(c.Instance, Epoch)
		next.Discard = nil
		commit(t, s, next)
		want[next.Enqueue[0].To] = append(want[next.Enqueue[0].To], next.Enqueue[0].ID)
	}
	for to, want := range want {
		got, places := pendingFor(t, s, to, outbox.Position{})
		equal(t, "order for "+to.String(), ids(got), want)
		for _, i := range []int{0, 1, 5, 255, 256, 257, 300, 301, 1000, len(want) - 2, len(want) - 1} {
			if i < len(want) {
				behind, _ := pendingFor(t, s, to, places[i])
				equal(t, fmt.Sprintf("for %s behind record %d", to, i), ids(behind), want[min(i+1, len(want)):])
			}
		}
	}
	_, places := pendingFor(t, s, "bank", outbox.Position{})
	between := outbox.Position{Commit: places[3].Commit - 1, Index: 1<<16 - 1}
	behind, _ := pendingFor(t, s, "bank", between)
	equal(t, "behind a record that is not there", ids(behind)[0], want["bank"][3])
	for _, to := range []outbox.Destination{outbox.Lifecycle, "ban", "banks", "nobody"} {
		if none, _ := pendingFor(t, s, to, outbox.Position{}); none != nil {
			t.Errorf("%d records are pending for %q, of whom nobody has heard", len(none), to)
		}
	}
	testPendingMoves(t, s, want)
}

// testPendingMoves commits and discards records while Pending yields.
func testPendingMoves(t *testing.T, s store.Store, all map[outbox.Destination][]outbox.ID) {
	want := slices.Concat(all["shop"], all["bank"])
	n := 0
	if err := outbox.All(t.Context(), s, func(outbox.Position, outbox.Record) bool { n++; return n < 5 }); err != nil || n != 5 {
		t.Fatalf("yield was called %d times after it returned false at 5 (%v)", n, err)
	}
	seen := map[outbox.ID]bool{}
	if err := outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool {
		if seen[r.ID] {
			t.Fatalf("record %s came twice", r.ID)
		}
		seen[r.ID] = true
		if len(seen)%500 == 0 {
			begin(t, s, contract.SagaID(fmt.Sprintf("during-%d", len(seen))), Epoch)
		}
		return s.Discard(t.Context(), []outbox.ID{r.ID}) == nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, id := range want {
		if !seen[id] {
			t.Fatalf("record %s did not come", id)
		}
	}
}

func testDue(t *testing.T, h Harness) {
	s := h.Store
	due := func(now time.Time, limit int, want []contract.SagaID, wantNext time.Time) {
		t.Helper()
		got, next, err := s.Due(t.Context(), now, limit)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "due", got, want)
		equal(t, "next", next, wantNext)
	}
	due(Epoch, 10, nil, time.Time{})
	a := begin(t, s, "a", Epoch.Add(3*time.Second))
	begin(t, s, "b", Epoch.Add(1*time.Second))
	begin(t, s, "c", Epoch.Add(2*time.Second))
	begin(t, s, "c-", Epoch.Add(2*time.Second))
	at := func(seconds int) time.Time { return Epoch.Add(timeout).Add(time.Duration(seconds) * time.Second) }
	due(Epoch, 10, nil, at(1))
	due(at(1).Add(-1), 10, nil, at(1))
	due(at(1), 10, []contract.SagaID{"b"}, at(2))
	due(at(9), 10, []contract.SagaID{"b", "c", "c-", "a"}, time.Time{})
	due(at(9), 0, []contract.SagaID{"b", "c", "c-", "a"}, time.Time{})
	due(at(9), 2, []contract.SagaID{"b", "c"}, at(2))
	due(at(2), 3, []contract.SagaID{"b", "c", "c-"}, at(3))
	due(at(9), 2, []contract.SagaID{"b", "c"}, at(2)) // Due changes nothing
	next := Next(a, Epoch.Add(10*time.Second))
	commit(t, s, next)
	due(at(9), 10, []contract.SagaID{"b", "c", "c-"}, at(10))
	finish(t, s, next.Instance, Epoch.Add(11*time.Second))
	due(at(99), 10, []contract.SagaID{"b", "c", "c-"}, time.Time{})
	s = h.Reopen(t)
	due(at(99), 10, []contract.SagaID{"b", "c", "c-"}, time.Time{})
	due(time.Time{}, 10, nil, at(1))
}

func testDefinitions(t *testing.T, h Harness) {
	s := h.Store
	define := func(name string, version int, note string) store.Definition {
		d, err := Definition(name, version, note)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	put := func(d store.Definition) error { return s.PutDefinition(t.Context(), d) }
	all := func() (list []string) {
		definitions, err := s.Definitions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range definitions {
			list = append(list, d.Ref.String()+" "+d.Fingerprint+" "+string(d.JSON))
		}
		return list
	}
	equal(t, "no definitions", all(), []string(nil))
	first := define("checkout", 2, "")
	var want []string
	for _, d := range []store.Definition{define("check-in", 1, ""), define("checkout", 1, ""), first, define("checkout", 10, ""), define("checkouts", 1, "")} {
		want = append(want, d.Ref.String()+" "+d.Fingerprint+" "+string(d.JSON))
	}
	for _, i := range []int{4, 3, 0, 1, 2} {
		d := []store.Definition{define("check-in", 1, ""), define("checkout", 1, ""), first, define("checkout", 10, ""), define("checkouts", 1, "")}[i]
		if err := put(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(define("checkout", 2, "")); err != nil {
		t.Fatalf("the same definition again: %v", err)
	}
	other := define("checkout", 2, "-now")
	var conflict *store.DefinitionConflictError
	if err := put(other); !errors.As(err, &conflict) || !errors.Is(err, store.ErrDefinitionConflict) {
		t.Fatalf("another content: got %v, want a conflict", err)
	}
	equal(t, "conflict", *conflict, store.DefinitionConflictError{
		Definition: first.Ref, Registered: first.Fingerprint, Given: other.Fingerprint,
	})
	equal(t, "definitions", all(), want)
	s = h.Reopen(t)
	equal(t, "definitions after a restart", all(), want)
}
