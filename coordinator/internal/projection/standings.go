package projection

import "github.com/amends-dev/amends/contract"

const (
	// MaxKnown bounds the open sagas whose standing is known: the latest ones, about as many
	// as may be waited for.
	MaxKnown = 1 << 17
	// MaxEnded bounds the sagas that are known to have ended, so that what comes late for them
	// is noticed: between one half and all of it.
	MaxEnded = 1 << 14
)

// standings are where sagas stand that have moved lately. What is forgotten is, when it moves
// again, as if it was never seen.
type standings struct {
	maxOpen, maxEnded int

	open map[contract.SagaID]*Standing
	ring []*Standing // the same, and empty ones (no Saga)
	next int         // the oldest

	ended, endedBefore map[contract.SagaID]Standing // two generations
}

func newStandings(maxOpen, maxEnded int) standings {
	return standings{maxOpen: maxOpen, maxEnded: maxEnded, open: map[contract.SagaID]*Standing{}, ended: map[contract.SagaID]Standing{}}
}

// last is what is known of a saga.
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

// moving is where a saga stands that is not at rest; nil: it is, or is not known.
func (s *standings) moving(id contract.SagaID) *Standing {
	if one := s.open[id]; one != nil && !one.Phase.AtRest() {
		return one
	}
	return nil
}

// put takes note of where a saga stands.
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

// forget drops what is known of a saga.
func (s *standings) forget(id contract.SagaID) {
	if one := s.open[id]; one != nil {
		*one = Standing{}
		delete(s.open, id)
	}
	delete(s.ended, id)
	delete(s.endedBefore, id)
}
