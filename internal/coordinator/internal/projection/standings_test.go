package projection

import (
	"fmt"
	"testing"

	"github.com/amends-dev/amends/contract"
)

// TestStandingsAreBounded checks that the oldest states are forgotten, whatever came to rest in
// between.
func TestStandingsAreBounded(t *testing.T) {
	const most, ended = 300, 20
	s := newStandings(most, ended)
	id := func(i int) contract.SagaID { return contract.SagaID(fmt.Sprint("s", i)) }
	for i := range 3 * most {
		s.put(&Standing{Saga: id(i), Revision: 1, Phase: contract.PhaseRunning, Open: true})
		if i%3 == 0 {
			s.put(&Standing{Saga: id(i), Revision: 2, Phase: contract.PhaseCompleted})
		}
	}
	if len(s.ring) != most || len(s.open) > most || len(s.open) < most/2 || len(s.ended)+len(s.endedBefore) > ended {
		t.Errorf("%d are known, in a ring of %d, and %d that ended", len(s.open), len(s.ring), len(s.ended)+len(s.endedBefore))
	}
	for i := 3*most - ended; i < 3*most; i++ {
		last, known := s.last(id(i))
		if moving := s.moving(id(i)) != nil; moving != (i%3 != 0) || !known || last.Open != moving {
			t.Errorf("%s moves: %t, known: %t, %+v", id(i), moving, known, last)
		}
	}
	if _, known := s.last(id(1)); known {
		t.Error("the oldest is still known")
	}
}

// TestStandingsAgain checks that a forgotten saga is known again once it changes, although its
// previous slot is used by another saga.
func TestStandingsAgain(t *testing.T) {
	const most = 10
	s := newStandings(most, most)
	running := func(id contract.SagaID) *Standing {
		return &Standing{Saga: id, Revision: 1, Phase: contract.PhaseRunning, Open: true}
	}
	s.put(running("again"))
	s.forget("again")
	for i := range most - 2 {
		s.put(running(contract.SagaID(fmt.Sprint("s", i))))
	}
	s.put(running("again"))
	s.put(running("another"))
	if s.moving("again") == nil || s.moving("another") == nil || len(s.ring) != most {
		t.Errorf("%+v, in a ring of %d", s.open, len(s.ring))
	}
}
