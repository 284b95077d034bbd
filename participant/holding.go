package participant

import (
	"context"
	"sync"

	"github.com/amends-dev/amends/transport"
)

// holding is a command that was received and not yet acknowledged.
type holding struct {
	delivery transport.Delivery
	answer   *transport.Envelope
	refused  int // how often the bus did not take the answer
}

// holdings are the commands of one Run, bounded.
type holdings struct {
	room chan struct{} // one element per free place
	mu   sync.Mutex
	held map[*holding]struct{}
}

func newHoldings(bound int) *holdings {
	s := &holdings{room: make(chan struct{}, bound), held: make(map[*holding]struct{}, bound)}
	s.giveBack(bound)
	return s
}

// reserve waits for a free place, and takes all that are free.
func (s *holdings) reserve(ctx context.Context) (places int, err error) {
	select {
	case <-s.room:
		places = 1
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for {
		select {
		case <-s.room:
			places++
		default:
			return places, nil
		}
	}
}

func (s *holdings) giveBack(places int) {
	for range places {
		s.room <- struct{}{}
	}
}

// add puts a delivery into a reserved place.
func (s *holdings) add(d transport.Delivery) *holding {
	h := &holding{delivery: d}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[h] = struct{}{}
	return h
}

// remove frees the place of a delivery that needs nothing any more.
func (s *holdings) remove(h *holding) {
	s.mu.Lock()
	delete(s.held, h)
	s.mu.Unlock()
	s.giveBack(1)
}

func (s *holdings) all() []*holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]*holding, 0, len(s.held))
	for h := range s.held {
		held = append(held, h)
	}
	return held
}
