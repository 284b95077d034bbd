package projection

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
)

// pages serves the paused sagas of a store in three pages.
type pages struct {
	ids  []contract.SagaID
	read int
}

func (s *pages) page(cursor string) ([]contract.SagaID, string, error) {
	const size = 10
	var at int
	if cursor != "" {
		_, _ = fmt.Sscan(cursor, &at)
	}
	s.read++
	end := min(at+size, len(s.ids))
	next := fmt.Sprint(end)
	if end == len(s.ids) {
		next = ""
	}
	return s.ids[at:end], next, nil
}

// TestPausedSagasAreCounted checks that sagas paused before and after the start are counted,
// whatever changes during the search.
func TestPausedSagasAreCounted(t *testing.T) {
	p := New(2, func(id contract.SagaID) int { return int(id[len(id)-1]) % 2 }, time.Unix(0, 0))
	s := &pages{}
	for i := range 25 {
		s.ids = append(s.ids, contract.SagaID(fmt.Sprint("p", i)))
	}
	revisions := map[contract.SagaID]uint64{}
	move := func(id contract.SagaID, paused, open bool) {
		revisions[id]++
		p.Of(id).Apply([]Change{{
			Standing: Standing{Saga: id, Birth: 1, Revision: 3 + revisions[id], Phase: contract.PhaseParked, Open: open, Paused: paused},
			Event:    contract.EventOperationTaken, Before: contract.PhaseRunning,
		}})
	}
	if n, all := p.Paused(); n != 0 || all {
		t.Errorf("before the search %d are counted, all: %t", n, all)
	}
	broken := errors.New("broken")
	if read, err := p.SearchPaused(func(string) ([]contract.SagaID, string, error) { return nil, "", broken }); !read || !errors.Is(err, broken) {
		t.Errorf("read: %t, %v", read, err)
	}
	for range 3 {
		read, err := p.SearchPaused(func(cursor string) ([]contract.SagaID, string, error) {
			ids, next, err := s.page(cursor)
			switch s.read { // the page being read is already outdated
			case 1:
				move("p1", false, true)
				move("p2", true, false) // ended while it was paused
				move("p3", false, true)
				move("p3", true, true)
				move("new", true, true)
			case 3:
				move("p4", false, true) // on a page that was read earlier
			}
			if again, err := p.SearchPaused(s.page); again || err != nil {
				t.Errorf("two search at once: %v", err)
			}
			return ids, next, err
		})
		if !read || err != nil {
			t.Fatalf("read: %t, %v", read, err)
		}
	}
	const want = 25 - 3 + 1
	if n, all := p.Paused(); n != want || !all {
		t.Errorf("%d are counted, all: %t; want %d", n, all, want)
	}
	if read, _ := p.SearchPaused(s.page); read || s.read != 3 {
		t.Errorf("searched again, in %d pages", s.read)
	}
	if p.Rebuild(p.Moves()-1, 7) || p.Open() == 7 {
		t.Error("rebuilt from what was read before something moved")
	}
	p.Doubt()
	if !p.Doubted() || !p.Rebuild(p.Moves(), 7) || p.Open() != 7 || p.Doubted() {
		t.Errorf("rebuilt: %d are open, in doubt: %t", p.Open(), p.Doubted())
	}
	if n, all := p.Paused(); n != 0 || all {
		t.Errorf("after doubt %d are counted, all: %t", n, all)
	}
	for more := true; more; {
		var err error
		if more, err = p.SearchPaused(s.page); err != nil {
			t.Fatal(err)
		}
	}
	if n, all := p.Paused(); n != 25 || !all {
		t.Errorf("searched again: %d are counted, all: %t", n, all)
	}
}
