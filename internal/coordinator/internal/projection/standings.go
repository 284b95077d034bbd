package projection

import "github.com/amends-dev/amends/contract"

const (
	// MaxKnown bounds the open sagas whose state is kept. The latest sagas are kept, about as many as
	// callers can wait for.
	MaxKnown = 1 << 17
	// MaxEnded bounds the ended sagas that are kept, so that late changes are recognised. At any
	// time, between the last MaxEnded/2 and the last MaxEnded sagas are kept.
	MaxEnded = 1 << 14
)

// standings holds the states of sagas that have changed recently. A forgotten saga that changes
// again is treated as new.
type standings struct {
	maxOpen, maxEnded int

	open map[contract.SagaID]*Standing
	ring []*Standing // the same entries, and empty entries (without a Saga)
	next int         // index of the oldest entry

	ended, endedBefore map[contract.SagaID]Standing // two generations of ended sagas
}

func newStandings(maxOpen, maxEnded int) standings {
	return standings{maxOpen: maxOpen, maxEnded: maxEnded, open: map[contract.SagaID]*Standing{}, ended: map[contract.SagaID]Standing{}}
}

// last returns the known state of a saga.
func (s *standings) last(id contract.SagaID) (Standing, bool) {
	if one := s.open[id]; one != nil {
		return *one, true
	}
	if one, known := s.ended[id]; known {
		return one, true
	}
	one, known := s.endedBefore[id]
	return one, known
}

// moving returns the state of a saga that is not at rest, or nil if it is at rest or unknown.
func (s *standings) moving(id contract.SagaID) *Standing {
	if one := s.open[id]; one != nil && !one.Phase.AtRest() {
		return one
	}
	return nil
}

// put records the state of a saga.
func (s *standings) put(now *Standing) {
	if !now.Open {
		s.forget(now.Saga)
		if len(s.ended) >= max(1, s.maxEnded/2) {
			s.endedBefore, s.ended = s.ended, make(map[contract.SagaID]Standing, len(s.ended))
		}
		s.ended[now.Saga] = *now
		return
	}
	one := s.open[now.Saga]
	if one == nil {
		s.forget(now.Saga)
		if len(s.ring) < s.maxOpen {
			one = &Standing{}
			s.ring = append(s.ring, one)
		} else {
			one = s.ring[s.next]
			delete(s.open, one.Saga)
			s.next = (s.next + 1) % s.maxOpen
		}
		s.open[now.Saga] = one
	}
	*one = *now
}

// forget removes the state of a saga.
func (s *standings) forget(id contract.SagaID) {
	if one := s.open[id]; one != nil {
		*one = Standing{}
		delete(s.open, id)
	}
	delete(s.ended, id)
	delete(s.endedBefore, id)
}
