package participant

import (
	"context"
	"sync"

	"github.com/amends-dev/amends/transport"
)

// flight is a received command that is not acknowledged yet.
type flight struct {
	delivery transport.Delivery
	answer   *transport.Envelope
	refused  int // number of times that the bus has refused the answer
}

// inFlight holds the commands in flight of one Run, up to a limit.
type inFlight struct {
	room chan struct{} // one element per free slot
	mu   sync.Mutex
	held map[*flight]struct{}
}

func newInFlight(bound int) *inFlight {
	s := &inFlight{room: make(chan struct{}, bound), held: make(map[*flight]struct{}, bound)}
	s.giveBack(bound)
	return s
}

// reserve waits for a free slot, and then takes all free slots.
func (s *inFlight) reserve(ctx context.Context) (slots int, err error) {
	select {
	case <-s.room:
		slots = 1
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for {
		select {
		case <-s.room:
			slots++
		default:
			return slots, nil
		}
	}
}

func (s *inFlight) giveBack(slots int) {
	for range slots {
		s.room <- struct{}{}
	}
}

// add stores a delivery in a slot that was reserved.
func (s *inFlight) add(d transport.Delivery) *flight {
	h := &flight{delivery: d}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[h] = struct{}{}
	return h
}

// remove frees a delivery's slot.
func (s *inFlight) remove(h *flight) {
	s.mu.Lock()
	delete(s.held, h)
	s.mu.Unlock()
	s.giveBack(1)
}

func (s *inFlight) all() []*flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]*flight, 0, len(s.held))
	for h := range s.held {
		held = append(held, h)
	}
	return held
}
