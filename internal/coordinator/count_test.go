package coordinator

import (
	"fmt"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestACountIsBounded checks that a count that must read every saga reads a bounded number, and
// reports that there may be more (I10).
func TestACountIsBounded(t *testing.T) {
	s := memstore.New()
	var changes []store.Change
	for i := range 1500 {
		changes = append(changes, storetest.Start(contract.SagaID(fmt.Sprint("order-", i)), storetest.Checkout, storetest.Epoch))
	}
	if _, err := s.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	requests := &service{c: &Coordinator{config: Config{Store: s}}}
	for _, tt := range []struct {
		pages, want int
		atLeast     bool
	}{{1, 1000, true}, {2, 1500, false}, {countPages, 1500, false}} {
		counts, atLeast, err := requests.countOneByOne(t.Context(), &store.Filter{IDPrefix: "order-"}, tt.pages)
		if err != nil || len(counts) != 1 || counts[0].Sagas != tt.want || atLeast != tt.atLeast {
			t.Errorf("%d pages: %v, at least %t, %v; want %d", tt.pages, counts, atLeast, err, tt.want)
		}
	}
}
