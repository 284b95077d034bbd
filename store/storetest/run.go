package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Harness holds a store under test, and ways to restart, restore and damage it.
type Harness struct {
	// Store is open and empty.
	Store store.Store
	// Reopen closes the store that was opened last as abruptly as possible, and opens it again.
	// Committed changes must survive.
	Reopen func(t testing.TB) store.Store
	// Restore opens a backup as a separate store. It is nil if the store has no backups.
	Restore func(t testing.TB, backup io.Reader) (store.Store, error)
	// Damage makes a saga's state unreadable in the store that was opened last, as a failing disk
	// would.
	Damage func(t testing.TB, id contract.SagaID)
}

// Run runs the conformance suite. open returns a new, empty store and closes it when its test ends.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, one := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"commit/what is committed is loaded", testLoad},
		{"commit/expected revisions", testRevisions},
		{"commit/one change does not affect another", testIndependent},
		{"commit/several changes of one saga", testSeveral},
		{"commit/invalid changes", testInvalid},
		{"commit/no shared memory", testSharing},
		{"commit/the start is constant", testConstantStart},
		{"commit/large records", testLarge},
		{"commit/two writers", testTwoWriters},
		{"commit/many goroutines", testConcurrent},
		{"history/events in order", testHistory},
		{"history/long", testLongHistory},
		{"outbox/pending and discarded", testPending},
		{"outbox/order and resume", testPendingOrder},
		{"list/order, pages and stability", testPages},
		{"list/filters", testFilters},
		{"list/hostile cursors", testCursors},
		{"list/counts", testCounts},
		{"timers/due", testDue},
		{"definitions/conflicts", testDefinitions},
		{"expire/tombstones", testExpire},
		{"expire/the digest of the start stays", testStartDigest},
		{"expire/limits and order", testExpireLimits},
		{"expire/a removed saga has nothing pending", testRemovedHaveNothingPending},
		{"damage/what can be read is not removed", testNotDamaged},
		{"damage/a damaged saga becomes a tombstone", testRemoveDamaged},
		{"reopen/everything is as it was", testReopen},
		{"clock/remembered", testClock},
		{"claim/remembered, and of another store after a restore", testClaim},
		{"close/errors", testClosed},
		{"backup/restore under load", testBackup},
		{"model/the same as memstore", testModel},
	} {
		t.Run(one.name, func(t *testing.T) { one.test(t, open(t)) })
	}
}

// sameBytes compares large data quickly.
var sameBytes = cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) > 0 }, cmp.Comparer(bytes.Equal))

// equal fails the test unless got and want are equal. Times are compared as instants, and nil
// equals empty.
func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), sameBytes); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// commit commits changes that must succeed.
func commit(t testing.TB, s store.Store, changes ...store.Change) {
	t.Helper()
	results, err := s.Commit(t.Context(), changes)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if len(results) != len(changes) {
		t.Fatalf("Commit gave %d results for %d changes", len(results), len(changes))
	}
	for i, err := range results {
		if err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
}

// commitOne commits one change and returns its result.
func commitOne(t testing.TB, s store.Store, c store.Change) error {
	t.Helper()
	results, err := s.Commit(t.Context(), []store.Change{c})
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return results[0]
}

// begin starts a saga in the store and returns its state.
func begin(t testing.TB, s store.Store, id contract.SagaID, at time.Time) *machine.Instance {
	t.Helper()
	c := Start(id, Checkout, at)
	commit(t, s, c)
	return c.Instance
}

// finish runs a saga to its end and returns the last state.
func finish(t testing.TB, s store.Store, in *machine.Instance, at time.Time) *machine.Instance {
	t.Helper()
	for in.Open() {
		c := Next(in, at)
		commit(t, s, c)
		in = c.Instance
	}
	return in
}

func wantError(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%s: got error %v, want %v", what, err, target)
	}
}

func wantConflict(t testing.TB, err error, want store.ConflictError) {
	t.Helper()
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || !errors.Is(err, store.ErrConflict) {
		t.Fatalf("got error %v, want a conflict", err)
	}
	equal(t, "conflict", *conflict, want)
}

// pendingBy returns the pending records in commit order, and checks that Destinations counts them.
func pendingBy(t testing.TB, s store.Store) []outbox.Record {
	t.Helper()
	records, _ := pendingAt(t, s)
	return records
}

// pendingAt returns the pending records in commit order with their positions.
func pendingAt(t testing.TB, s store.Store) (records []outbox.Record, places []outbox.Position) {
	t.Helper()
	counts, err := s.Destinations(t.Context())
	if err != nil {
		t.Fatalf("Destinations: %v", err)
	}
	type at struct {
		place  outbox.Position
		record outbox.Record
	}
	var list []at
	if err := outbox.All(t.Context(), s, func(p outbox.Position, r outbox.Record) bool {
		list = append(list, at{p, r})
		counts[r.To]--
		return true
	}); err != nil {
		t.Fatalf("Owed: %v", err)
	}
	for to, n := range counts {
		if n < 0 {
			t.Errorf("%s has %d records pending, more than Destinations says", to, -n)
		}
	}
	slices.SortFunc(list, func(a, b at) int { return a.place.Compare(b.place) })
	for _, one := range list {
		records, places = append(records, one.record), append(places, one.place)
	}
	return records, places
}

// pendingFor returns the pending records of one destination after a position.
func pendingFor(t testing.TB, s store.Store, to outbox.Destination, after outbox.Position) (records []outbox.Record, places []outbox.Position) {
	t.Helper()
	if err := s.Pending(t.Context(), to, after, func(p outbox.Position, r outbox.Record) bool {
		if r.To != to {
			t.Errorf("Pending(%s) yields %s, which goes to %s", to, r.ID, r.To)
		}
		records, places = append(records, r), append(places, p)
		return true
	}); err != nil {
		t.Fatalf("Owed(%s): %v", to, err)
	}
	return records, places
}

func ids(records []outbox.Record) []outbox.ID {
	var list []outbox.ID
	for _, r := range records {
		list = append(list, r.ID)
	}
	return list
}

// listAll pages through a list.
func listAll(ctx context.Context, s store.Store, f store.Filter, limit int) (list []store.Summary, pages int, err error) {
	page := store.Page{Limit: limit}
	for pages = 1; ; pages++ {
		part, next, err := s.List(ctx, f, page)
		if err != nil {
			return nil, pages, err
		}
		if len(part) > page.Size() {
			return nil, pages, errors.New("a page is longer than its limit")
		}
		list = append(list, part...)
		if next == "" {
			return list, pages, nil
		}
		page.Cursor = next
	}
}
