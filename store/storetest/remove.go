package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

var removal = store.Removal{At: Epoch.Add(time.Hour), By: "ada", Reason: "the disk is being replaced; discarded by hand, ticket 1234"}

// testNotDamaged checks that a readable saga is not removed.
func testNotDamaged(t *testing.T, h Harness) {
	s := h.Store
	open := begin(t, s, "order-1", Epoch)
	ended := finish(t, s, begin(t, s, "order-2", Epoch), Epoch.Add(time.Minute))
	parked := Park(begin(t, s, "order-3", Epoch), Epoch.Add(time.Minute))
	commit(t, s, parked)
	gone := finish(t, s, begin(t, s, "order-4", Epoch), Epoch.Add(time.Second))
	expire(t, s, Epoch.Add(2*time.Second), time.Time{}, 10, 1, 0)
	before := pendingBy(t, s)
	for id, want := range map[contract.SagaID]error{
		"order-1": store.ErrNotDamaged, "order-2": store.ErrNotDamaged, "order-3": store.ErrNotDamaged,
		"order-4": store.ErrEnded, "order-5": store.ErrNotFound, "order": store.ErrNotFound, "order-10": store.ErrNotFound,
	} {
		removed, err := s.RemoveDamaged(t.Context(), id, removal)
		wantError(t, "RemoveDamaged of "+string(id), err, want)
		equal(t, "what it removed", removed, store.Removed{})
	}
	for _, in := range []*machine.Instance{open, ended, parked.Instance} {
		equal(t, "what was not damaged", load(t, s, in.ID), in)
	}
	_, err := s.Load(t.Context(), gone.ID)
	wantError(t, "Load of what retention has removed", err, store.ErrEnded)
	equal(t, "what is pending", ids(pendingBy(t, s)), ids(before))
}

// testRemoveDamaged checks that a damaged saga is replaced with a tombstone that contains who
// removed the saga and why. Nothing else of the saga may remain, its id must stay taken, and other
// sagas must be unchanged.
func testRemoveDamaged(t *testing.T, h Harness) {
	s := h.Store
	start := Start("order-2", Checkout, Epoch)
	var others []*machine.Instance
	for _, id := range []contract.SagaID{"order-1", "order-2-beside", "order-20", "order-3"} {
		others = append(others, begin(t, s, id, Epoch))
	}
	commit(t, s, start)
	next := Next(start.Instance, Epoch.Add(time.Second))
	commit(t, s, next)
	h.Damage(t, "order-2")
	_, err := s.Load(t.Context(), "order-2")
	wantError(t, "Load of the damaged saga", err, store.ErrCorrupt)
	wantError(t, "a move of it", commitOne(t, s, Next(next.Instance, Epoch.Add(2*time.Second))), store.ErrCorrupt)
	for name, f := range map[string]store.Filter{"all": {}, "by id": {IDs: []contract.SagaID{"order-2", "order-3"}}, "by prefix": {IDPrefix: "order-2"}} {
		list, _, err := s.List(t.Context(), f, store.Page{})
		at := slices.IndexFunc(list, func(one store.Summary) bool { return one.ID == "order-2" })
		if err != nil || len(list) < 2 || at < 0 || list[at].Damage == "" {
			t.Errorf("%s: the list does not say what is damaged: %+v, %v", name, list, err)
		}
		for i := range list {
			if i != at && list[i].Damage != "" {
				t.Errorf("%s: the list says of %s: %s", name, list[i].ID, list[i].Damage)
			}
		}
	}
	if list, _, err := s.List(t.Context(), store.Filter{Paused: true}, store.Page{}); err != nil || len(list) > 0 {
		t.Errorf("it is listed as paused, which nobody knows: %+v, %v", list, err)
	}

	removed, err := s.RemoveDamaged(t.Context(), "order-2", removal)
	if err != nil {
		t.Fatalf("RemoveDamaged: %v", err)
	}
	if !removed.Open || !slices.Contains(removed.Discarded, next.Enqueue[0].ID) || slices.ContainsFunc(removed.Discarded, func(id outbox.ID) bool { return id.Saga != "order-2" }) {
		t.Errorf("it removed %+v, want an open saga with %s pending", removed, next.Enqueue[0].ID)
	}
	check := func(s store.Store) {
		t.Helper()
		for what, err := range map[string]error{
			"Load":                 second(s.Load(t.Context(), "order-2")),
			"History":              second(s.History(t.Context(), "order-2", 1, 10)),
			"the same start again": commitOne(t, s, start),
			"a late move":          commitOne(t, s, Next(next.Instance, Epoch.Add(time.Minute))),
			"RemoveDamaged again":  second(s.RemoveDamaged(t.Context(), "order-2", removal)),
		} {
			var stone *store.TombstoneError
			if !errors.As(err, &stone) || stone.Phase != contract.PhaseParked || !stone.Ended.Equal(removal.At) || stone.Removal == nil ||
				stone.Removal.By != removal.By || stone.Removal.Reason != removal.Reason || !stone.Removal.At.Equal(removal.At) || stone.Removal.Damage == "" || stone.Birth() != start.Instance.Birth() {
				t.Errorf("%s: got error %+v, want the tombstone of the removal", what, err)
			}
		}
		for _, in := range others {
			equal(t, "a saga beside it", load(t, s, in.ID), in)
		}
		for _, r := range pendingBy(t, s) {
			if r.ID.Saga == "order-2" {
				t.Errorf("%s was enqueued by a saga that was removed", r.ID)
			}
		}
		destinations, err := s.Destinations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pending := 0
		for _, n := range destinations {
			pending += n
		}
		equal(t, "how much is pending", pending, len(pendingBy(t, s)))
		list, _, err := listAll(t.Context(), s, store.Filter{}, 10)
		if err != nil || len(list) != len(others) {
			t.Errorf("list: %v, %v", list, err)
		}
		due, _, err := s.Due(t.Context(), Epoch.Add(99*time.Hour), 100)
		if err != nil || slices.Contains(due, "order-2") || len(due) != len(others) {
			t.Errorf("due: %v, %v", due, err)
		}
		counts, err := s.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "counts", counts, []store.Count{{Definition: Checkout, Phase: contract.PhaseRunning, Sagas: len(others)}})
	}
	check(s)
	s = h.Reopen(t)
	check(s)
	expire(t, s, removal.At.Add(1), removal.At, 10, 0, 0)
	check(s)
	expire(t, s, time.Time{}, removal.At.Add(1), 10, 0, 1)
	_, err = s.Load(t.Context(), "order-2")
	wantError(t, "Load after the tombstone was dropped", err, store.ErrNotFound)
	if err := s.Discard(t.Context(), []outbox.ID{start.Enqueue[0].ID}); err != nil { // a record of the removed saga
		t.Fatal(err)
	}
	commit(t, s, start)
	equal(t, "the same id starts again", load(t, s, "order-2"), start.Instance)
	equal(t, "its history", history(t, s, "order-2", 1, 10), start.Events)
}

// second returns the second result of a call.
func second[T any](_ T, err error) error { return err }
