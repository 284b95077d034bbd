package boltstore_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestASearchIsCutIntoPages searches for one saga among thousands by a property that is not
// indexed. The search takes several calls, each with a bounded amount of work (I10).
func TestASearchIsCutIntoPages(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{})
	const sagas = 5000
	var changes []store.Change
	for i := range sagas {
		changes = append(changes, storetest.Start(contract.SagaID(fmt.Sprintf("order-%04d", i)), storetest.Checkout, storetest.Epoch.Add(time.Duration(i)*time.Second)))
	}
	results, err := s.Commit(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range results {
		if err != nil {
			t.Fatal(err)
		}
	}
	oldest := storetest.Park(changes[0].Instance, storetest.Epoch.Add(time.Hour)) // the last in the list
	if results, err := s.Commit(t.Context(), []store.Change{oldest}); err != nil || results[0] != nil {
		t.Fatal(results, err)
	}
	search := func(filter store.Filter) (found []store.Summary, pages int) {
		for cursor := ""; ; {
			list, next, err := s.List(t.Context(), filter, store.Page{Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			pages++
			found = append(found, list...)
			if cursor = next; cursor == "" {
				return found, pages
			}
		}
	}
	found, pages := search(store.Filter{Reason: "no such customer"})
	if len(found) != 1 || found[0].ID != "order-0000" {
		t.Errorf("found are %v", found)
	}
	if pages != 10 {
		t.Errorf("it took %d pages, want 10: nine that load as many as they may, and the rest", pages)
	}
	// A saga that was last updated before a time started before it, so newer ones are not read.
	filter := store.Filter{UpdatedBefore: storetest.Epoch.Add(2 * time.Second)}
	if found, pages := search(filter); len(found) != 1 || found[0].ID != "order-0001" || pages != 1 {
		t.Errorf("unmoved are %v, on %d pages; want order-0001 on one", found, pages)
	}
	byID := store.Filter{IDs: []contract.SagaID{"order-0001"}, UpdatedBefore: filter.UpdatedBefore}
	if list, next, err := s.List(t.Context(), byID, store.Page{}); err != nil || len(list) != 1 || next != "" {
		t.Errorf("by its id: %v, %q, %v", list, next, err)
	}
}
