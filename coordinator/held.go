package coordinator

import (
	"context"
	"time"

	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
)

// heldBudget bounds how long one overview goes on looking for paused sagas that
// were paused before the coordinator started.
const heldBudget = 100 * time.Millisecond

// held is the sagas that are paused. What is paused from now on is seen as it
// happens; what was before is looked for, a little with each overview, because only
// its state tells.
type held struct {
	ids    map[saga.ID]bool
	gone   map[saga.ID]bool // that went on, or ended, while a page was read; nil: none is read
	cursor string           // where the search goes on
	found  bool             // everything has been looked at
}

// see takes in a transition; f.mu is held.
func (f *figures) see(t *Transition) {
	switch {
	case t.Ended, t.Operation == saga.OperationResume:
		delete(f.held.ids, t.Saga)
		if f.held.gone != nil {
			f.held.gone[t.Saga] = true
		}
	case t.Operation == saga.OperationPause:
		f.held.ids[t.Saga] = true
		delete(f.held.gone, t.Saga)
	}
}

// paused is how many sagas are paused; -1: not all have been looked at yet.
func (f *figures) paused(ctx context.Context, s store.Store) (int, error) {
	for began := time.Now(); ; {
		f.mu.Lock()
		n, found, cursor := len(f.held.ids), f.held.found, f.held.cursor
		busy := f.held.gone != nil // another overview reads
		if !found && !busy {
			f.held.gone = map[saga.ID]bool{}
		}
		f.mu.Unlock()
		switch {
		case found:
			return n, nil
		case busy, time.Since(began) > heldBudget:
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
func (f *figures) merge(page []store.Summary, next string, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range page {
		if id := page[i].ID; !f.held.gone[id] {
			f.held.ids[id] = true
		}
	}
	f.held.gone, f.held.cursor, f.held.found = nil, next, found
}
