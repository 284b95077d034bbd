package projection

import (
	"sync"
	"sync/atomic"

	"github.com/amends-dev/amends/contract"
)

// paused holds a part's paused sagas. New pauses are recorded as they happen. Earlier pauses must
// be searched for, because only the state of a saga shows them.
type paused struct {
	ids  map[contract.SagaID]bool
	gone map[contract.SagaID]bool // sagas resumed or ended while a page is being read; nil at other times
}

func (s *paused) set(id contract.SagaID, paused bool) {
	if paused {
		s.ids[id] = true
		delete(s.gone, id)
		return
	}
	delete(s.ids, id)
	if s.gone != nil {
		s.gone[id] = true
	}
}

// search holds the progress of the search for paused sagas.
type search struct {
	mu     sync.Mutex // held while a page is read
	cursor string
	all    atomic.Bool // whether the search is complete
	again  atomic.Bool // whether to start from the beginning
}

// Paused returns the number of sagas known to be paused, and whether all paused sagas are known.
func (p *Projection) Paused() (n int, all bool) {
	all = p.search.all.Load() && !p.search.again.Load()
	for _, pt := range p.parts {
		pt.mu.Lock()
		n += len(pt.paused.ids)
		pt.mu.Unlock()
	}
	return n, all
}

// SearchPaused calls read for the next page of paused sagas in the store. read gets a cursor (""
// for the first page), and returns the next cursor ("" after the last page). SearchPaused returns
// false without calling read if another call of SearchPaused is running or the search is complete.
func (p *Projection) SearchPaused(read func(cursor string) (ids []contract.SagaID, next string, err error)) (bool, error) {
	s := &p.search
	if !s.mu.TryLock() {
		return false, nil
	}
	defer s.mu.Unlock()
	if s.again.Swap(false) {
		s.cursor = ""
		s.all.Store(false)
	}
	if s.all.Load() {
		return false, nil
	}
	for _, pt := range p.parts {
		pt.mu.Lock()
		pt.paused.gone = map[contract.SagaID]bool{}
		pt.mu.Unlock()
	}
	ids, next, err := read(s.cursor)
	if err == nil {
		for _, id := range ids {
			pt := p.Of(id)
			pt.mu.Lock()
			if !pt.paused.gone[id] {
				pt.paused.ids[id] = true
			}
			pt.mu.Unlock()
		}
		s.cursor = next
		s.all.Store(next == "")
	}
	for _, pt := range p.parts {
		pt.mu.Lock()
		pt.paused.gone = nil
		pt.mu.Unlock()
	}
	return true, err
}
