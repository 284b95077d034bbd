package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

func wantTombstone(t testing.TB, what string, err error, want store.TombstoneError) {
	t.Helper()
	var tombstone *store.TombstoneError
	if !errors.As(err, &tombstone) || !errors.Is(err, store.ErrEnded) {
		t.Fatalf("%s: got error %v, want a tombstone", what, err)
	}
	equal(t, what, *tombstone, want)
}

func expire(t testing.TB, s store.Store, ended, drop time.Time, limit, wantRemoved, wantDropped int) {
	t.Helper()
	removed, dropped, err := s.Expire(t.Context(), ended, drop, limit)
	if err != nil {
		t.Fatalf("Expire: %v", err)
	}
	equal(t, "removed, dropped", []int{removed, dropped}, []int{wantRemoved, wantDropped})
}

func testExpire(t *testing.T, h Harness) {
	s := h.Store
	start := Start("order-1", Checkout, Epoch)
	commit(t, s, start)
	in := finish(t, s, start.Instance, Epoch.Add(time.Minute))
	open := begin(t, s, "order-2", Epoch)
	parked := Park(begin(t, s, "order-3", Epoch), Epoch.Add(time.Minute))
	commit(t, s, parked)
	abandoned := Abandon(parked.Instance, Epoch.Add(2*time.Minute))
	back := Reject(begin(t, s, "order-4", Epoch), Epoch.Add(time.Minute))
	commit(t, s, back)

	expire(t, s, Epoch.Add(time.Minute), time.Time{}, 10, 0, 0)
	expire(t, s, time.Time{}, time.Time{}, 10, 0, 0)
	expire(t, s, Epoch.Add(time.Minute+1), time.Time{}, 10, 2, 0)
	want := store.TombstoneError{
		Saga: "order-1", Definition: Checkout, Phase: contract.PhaseCompleted, Start: machine.DigestStart(in.ContentType, in.Input), Started: Epoch, Ended: in.Ended,
	}
	check := func(s store.Store) {
		t.Helper()
		_, err := s.Load(t.Context(), "order-1")
		wantTombstone(t, "Load", err, want)
		_, err = s.History(t.Context(), "order-1", 1, 10)
		wantTombstone(t, "History", err, want)
		wantTombstone(t, "the same start again", commitOne(t, s, start), want)
		wantTombstone(t, "a late move", commitOne(t, s, Next(in, Epoch)), want)
		list, _, err := listAll(t.Context(), s, store.Filter{}, 10)
		if err != nil || len(list) != 2 {
			t.Fatalf("list after Expire: %v, %v", list, err)
		}
		for _, r := range pendingBy(t, s) {
			if r.ID.Saga == "order-1" {
				t.Fatalf("%s was enqueued by a saga that was removed", r.ID)
			}
		}
	}
	check(s)
	s = h.Reopen(t)
	check(s)
	commit(t, s, abandoned)
	expire(t, s, Epoch.Add(time.Hour), time.Time{}, 10, 1, 0)
	_, err := s.Load(t.Context(), "order-3")
	wantTombstone(t, "abandoned", err, store.TombstoneError{
		Saga: "order-3", Definition: Checkout, Phase: contract.PhaseParked, Start: machine.DigestStart("", abandoned.Instance.Input),
		Started: Epoch, Ended: abandoned.Instance.Ended,
	})
	counts, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "counts", counts, []store.Count{{Definition: Checkout, Phase: contract.PhaseRunning, Sagas: 1}})
	equal(t, "what is left", load(t, s, "order-2"), open)

	expire(t, s, time.Time{}, Epoch.Add(time.Minute+1), 10, 0, 2)
	_, err = s.Load(t.Context(), "order-1")
	wantError(t, "Load after the tombstone was dropped", err, store.ErrNotFound)
	testAgain(t, h, s, start)
}

// testStartDigest checks that a tombstone recognises a repeated start and refuses a different one.
// The digest in the tombstone must be the digest of the start, whatever is committed after it.
func testStartDigest(t *testing.T, h Harness) {
	s := h.Store
	starts := []struct {
		id              contract.SagaID
		contentType     string
		input, same, no string
	}{
		{"order-1", "", `{"a":1,"b":2}`, `{ "b": 2.0, "a": 10e-1 }`, `{"a":1,"b":2.5}`},
		{"order-2", "application/order+json; v=1", `[12345678901234567]`, `[ 12345678901234567.0 ]`, `[12345678901234568]`},
		{"order-3", "text/plain", `{"a":1}`, `{"a":1}`, `{"a":1.0}`},
		{"order-4", "", ``, ``, `null`},
	}
	for _, start := range starts {
		c := Start(start.id, Checkout, Epoch)
		c.Instance.ContentType, c.Instance.Input = start.contentType, []byte(start.input)
		c.Events[0].ContentType, c.Events[0].Payload = start.contentType, c.Instance.Input
		commit(t, s, c)
		in := c.Instance
		for range 4 {
			c = Next(in, Epoch.Add(time.Minute))
			commit(t, s, c)
			in = c.Instance
		}
	}
	s = h.Reopen(t)
	expire(t, s, Epoch.Add(time.Hour), time.Time{}, 10, len(starts), 0)
	s = h.Reopen(t)
	for _, start := range starts {
		_, err := s.Load(t.Context(), start.id)
		var stone *store.TombstoneError
		if !errors.As(err, &stone) {
			t.Fatalf("%s: %v", start.id, err)
		}
		if stone.Start[0] != 1 || !stone.Start.Is(start.contentType, []byte(start.same)) || stone.Start.Is(start.contentType, []byte(start.no)) {
			t.Errorf("%s: the digest %x of %s; it is that of %s, and not that of %s", start.id, stone.Start, start.input, start.same, start.no)
		}
	}
}

// testAgain starts a saga with the id of a removed saga, and then repeats every operation of the
// removed saga.
func testAgain(t *testing.T, h Harness, s store.Store, forgotten store.Change) {
	t.Helper()
	discard := func() {
		t.Helper()
		if err := s.Discard(t.Context(), []outbox.ID{forgotten.Enqueue[0].ID}); err != nil {
			t.Fatal(err)
		}
	}
	discard()
	again := Start("order-1", Checkout, Epoch.Add(time.Hour))
	commit(t, s, again)
	discard()
	wantConflict(t, commitOne(t, s, Next(forgotten.Instance, Epoch)), store.ConflictError{Saga: "order-1", Expected: 1, Actual: 1})
	other := begin(t, s, "order-5", Epoch)
	move := Next(other, Epoch)
	move.Discard = append(move.Discard, forgotten.Enqueue[0].ID)
	commit(t, s, move)
	for range 2 {
		equal(t, "the same id starts again", load(t, s, "order-1"), again.Instance)
		equal(t, "its history", history(t, s, "order-1", 1, 10), again.Events)
		if all := ids(pendingBy(t, s)); !slices.Contains(all, again.Enqueue[0].ID) || slices.Contains(all, forgotten.Enqueue[0].ID) {
			t.Fatalf("pending are %v, expected is %s and not %s", all, again.Enqueue[0].ID, forgotten.Enqueue[0].ID)
		}
		s = h.Reopen(t)
	}
	finish(t, s, again.Instance, Epoch.Add(2*time.Hour))
}

func testExpireLimits(t *testing.T, h Harness) {
	s := h.Store
	const n = 30
	for i := range n {
		in := begin(t, s, contract.SagaID(fmt.Sprintf("order-%02d", i)), Epoch)
		finish(t, s, in, Epoch.Add(time.Duration(n-i)*time.Minute))
	}
	later := Epoch.Add(time.Hour)
	expire(t, s, later, later, 10, 10, 0)
	for i := range n {
		_, err := s.Load(t.Context(), contract.SagaID(fmt.Sprintf("order-%02d", i)))
		if gone := errors.Is(err, store.ErrEnded); gone != (i >= 20) {
			t.Errorf("saga %d removed: %t; those that ended first go first", i, gone)
		}
	}
	expire(t, s, later, later, 4, 4, 4)
	expire(t, s, later, later, 0, 16, 10)
	expire(t, s, later, later, 0, 0, 16)
	expire(t, s, later, later, 0, 0, 0)
	_, err := s.Load(t.Context(), "order-00")
	wantError(t, "Load after all", err, store.ErrNotFound)
	counts, err := s.Counts(t.Context())
	if err != nil || len(counts) != 0 {
		t.Fatalf("counts of an empty store: %v, %v", counts, err)
	}
}
