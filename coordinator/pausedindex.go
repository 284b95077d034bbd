package coordinator

import (
	"context"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// pausedBudget bounds how long one overview goes on looking for paused sagas that
// were paused before the coordinator started.
const pausedBudget = 100 * time.Millisecond

// pausedIndex is the sagas that are paused. What is paused from now on is seen as it
// happens; what was before is looked for, a little with each overview, because only
// its state tells.
type pausedIndex struct {
	ids    map[contract.SagaID]bool
	gone   map[contract.SagaID]bool // that went on, or ended, while a page was read; nil: none is read
	cursor string                   // where the search goes on
	found  bool                     // everything has been looked at
}

// see takes in a transition; f.mu is locked.
func (f *runStats) see(t *Transition) {
	switch {
	case t.Ended, t.Operation == contract.OperationResume:
		delete(f.pausedIndex.ids, t.Saga)
		if f.pausedIndex.gone != nil {
			f.pausedIndex.gone[t.Saga] = true
		}
	case t.Operation == contract.OperationPause:
		f.pausedIndex.ids[t.Saga] = true
		delete(f.pausedIndex.gone, t.Saga)
	}
}

// paused is how many sagas are paused; -1: not all have been looked at yet.
func (f *runStats) paused(ctx context.Context, s store.Store) (int, error) {
	for began := time.Now(); ; {
		f.mu.Lock()
		n, found, cursor := len(f.pausedIndex.ids), f.pausedIndex.found, f.pausedIndex.cursor
		busy := f.pausedIndex.gone != nil // another overview reads
		if !found && !busy {
			f.pausedIndex.gone = map[contract.SagaID]bool{}
		}
		f.mu.Unlock()
		switch {
		case found:
			return n, nil
		case busy, time.Since(began) > pausedBudget:
			if !busy {
				f.merge(nil, cursor, false)
			}
			return -1, nil
		}
		page, next, err := s.List(ctx, store.Filter{Paused: true, OpenOnly: true}, store.Page{Limit: store.MaxPage, Cursor: cursor})
		if err != nil {
			f.merge(nil, cursor, false)
			return -1, err
		}
		f.merge(page, next, next == "")
	}
}

// merge takes in a page.
func (f *runStats) merge(page []store.Summary, next string, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range page {
		if id := page[i].ID; !f.pausedIndex.gone[id] {
			f.pausedIndex.ids[id] = true
		}
	}
	f.pausedIndex.gone, f.pausedIndex.cursor, f.pausedIndex.found = nil, next, found
}
