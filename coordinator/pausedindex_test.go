package coordinator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/store/storetest"
)

// meanwhile is a store in which something happens between the reading of a page
// and its reader.
type meanwhile struct {
	store.Store
	happens func(page int)
	pages   int
}

// List reads a page, and then lets things happen.
func (m *meanwhile) List(ctx context.Context, f store.Filter, p store.Page) ([]store.Summary, string, error) {
	list, next, err := m.Store.List(ctx, f, p)
	m.pages++
	m.happens(m.pages)
	return list, next, err
}

// TestPausedSagasAreCounted: those of before the start and those of now, whatever
// moves while they are looked for.
func TestPausedSagasAreCounted(t *testing.T) {
	s := memstore.New()
	var changes []store.Change
	for i := range 2500 { // three pages of those that are paused
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%04d", i)), storetest.Checkout, storetest.Epoch.Add(time.Duration(i)*time.Second))
		c.Instance.Paused = &machine.Pause{At: storetest.Epoch, By: "kim", Reason: "because"}
		changes = append(changes, c, storetest.Start(contract.SagaID(fmt.Sprintf("other-%04d", i)), storetest.Checkout, storetest.Epoch))
	}
	if _, err := s.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	f := newRunStats(storetest.Epoch)
	move := func(id string, operation contract.Operation, ended bool) {
		f.Transition(Transition{Saga: contract.SagaID(id), Event: contract.EventOperationTaken, Operation: operation, Ended: ended})
	}
	m := &meanwhile{Store: s, happens: func(page int) {
		switch page {
		case 1: // the newest first: these were just read as paused
			move("order-2499", contract.OperationResume, false)
			move("order-2498", contract.OperationAbandon, true)
			move("order-2497", contract.OperationResume, false)
			move("order-2497", contract.OperationPause, false)
			move("other-0001", contract.OperationPause, false)
			move("order-0001", contract.OperationResume, false) // not read yet, and it will not be found paused
			in, err := s.Load(t.Context(), "order-0001")
			if err != nil {
				t.Error(err)
				return
			}
			c := storetest.Next(in, in.Updated)
			c.Instance.Paused = nil
			if errs, err := s.Commit(t.Context(), []store.Change{c}); err != nil || errs != nil && errs[0] != nil {
				t.Error(errs, err)
			}
		case 3:
			move("order-2400", contract.OperationResume, false) // was read long ago
		}
	}}
	n := -1
	for range 100 {
		var err error
		if n, err = f.paused(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if n >= 0 {
			break
		}
	}
	if want := 2500 - 4 + 1; n != want || m.pages != 3 {
		t.Errorf("%d are counted in %d pages, want %d in 3", n, m.pages, want)
	}
	move("order-0002", contract.OperationResume, false)
	move("order-0002", contract.OperationResume, false)
	if n, err := f.paused(t.Context(), m); err != nil || n != 2500-5+1 || m.pages != 3 {
		t.Errorf("then %d are counted, %v, in %d pages", n, err, m.pages)
	}
}
