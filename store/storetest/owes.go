package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// testRemovedHaveNothingPending checks that records which are pending when a saga ends stay pending
// until retention removes the saga. After that they must not reappear: next to the tombstone, after
// a restart, or after the tombstone is dropped.
func testRemovedHaveNothingPending(t *testing.T, h Harness) {
	s := h.Store
	const n = 20
	for i := range n {
		c := Abandon(begin(t, s, contract.SagaID(fmt.Sprintf("order-%02d", i)), Epoch), Epoch.Add(time.Minute))
		c.Discard = nil // its command stays pending after the saga has ended
		commit(t, s, c)
	}
	open := begin(t, s, "open", Epoch)
	pending := func(s store.Store) (ended, others int) {
		t.Helper()
		for _, r := range pendingBy(t, s) {
			if r.ID.Saga == open.ID {
				others++
			} else {
				ended++
			}
		}
		return ended, others
	}
	ended, others := pending(s)
	if ended < 2*n || others == 0 {
		t.Fatalf("%d records are pending of %d sagas that ended, %d of the open one: this law would hold of nothing", ended, n, others)
	}
	check := func(when string) {
		t.Helper()
		for _, restart := range []bool{false, true} {
			if restart {
				s = h.Reopen(t)
			}
			if left, stay := pending(s); left != 0 || stay != others {
				t.Errorf("%s, restarted: %t: %d records are pending of removed sagas, %d of the open one, which had %d", when, restart, left, stay, others)
			}
		}
	}
	later := Epoch.Add(time.Hour)
	expire(t, s, later, time.Time{}, 0, n, 0)
	check("with tombstones")
	expire(t, s, later, later, 0, 0, n)
	check("without tombstones")
}
