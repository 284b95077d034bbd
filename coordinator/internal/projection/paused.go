package projection

import (
	"sync"
	"sync/atomic"

	"github.com/amends-dev/amends/contract"
)

// paused is the sagas of a part that are paused. What is paused from now on is seen as it
// happens; what was before is searched for, because only its state tells.
type paused struct {
	ids  map[contract.SagaID]bool
	gone map[contract.SagaID]bool // that went on, or ended, while a page is read; nil: none is
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

// search is how far the search for paused sagas is.
type search struct {
	mu     sync.Mutex // held while a page is read
	cursor string
	all    atomic.Bool // everything has been looked at
	again  atomic.Bool // begin from the start
}

// Paused is how many sagas are known to be paused, and whether those are all.
func (p *Projection) Paused() (n int, all bool) {
	all = p.search.all.Load() && !p.search.again.Load()
	for _, pt := range p.parts {
		pt.mu.Lock()
		n += len(pt.paused.ids)
		pt.mu.Unlock()
	}
	return n, all
}

// SearchPaused reads a page of the paused sagas that a store has, from a cursor on ("": from the
// start), and where the next page begins ("": there is none). It reports false without
// reading when somebody else is searching, or there is nothing left to search.
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
