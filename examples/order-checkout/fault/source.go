package fault

import (
	"context"
	"time"

	"github.com/amends-dev/amends/transport"
)

// faultySource delivers only the commands that Bus.let permits.
type faultySource struct {
	transport.Source
	bus *Bus
}

// Receive implements transport.Source.
func (s *faultySource) Receive(ctx context.Context, most int) ([]transport.Delivery, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.bus.alive, stop)()
	for {
		batch, err := s.Source.Receive(ctx, most)
		if s.bus.Crashed() {
			return nil, transport.ErrClosed
		}
		var through []transport.Delivery
		for _, d := range batch {
			if s.bus.let(ctx, d) {
				through = append(through, mortal{d, s.bus})
			}
		}
		if err != nil || len(through) > 0 {
			return through, err
		}
	}
}

// mortal is a delivery that does nothing once the service has crashed.
type mortal struct {
	transport.Delivery
	bus *Bus
}

func (m mortal) alive(f func()) {
	if !m.bus.Crashed() {
		f()
	}
}

// Ack implements transport.Delivery.
func (m mortal) Ack() { m.alive(m.Delivery.Ack) }

// InProgress implements transport.Delivery.
func (m mortal) InProgress() { m.alive(m.Delivery.InProgress) }

// Nak implements transport.Delivery.
func (m mortal) Nak(delay time.Duration) { m.alive(func() { m.Delivery.Nak(delay) }) }
