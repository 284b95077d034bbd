package natsbus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// Receive implements transport.Source.
func (s *source) Receive(ctx context.Context, max int) ([]transport.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ready := s.takeReady(max); len(ready) > 0 {
			return s.handOut(ready), nil
		}
		batch, err := s.puller.Take(ctx, max)
		if err != nil {
			return nil, err
		}
		s.open(batch)
	}
}

// takeReady takes up to n opened deliveries.
func (s *source) takeReady(n int) []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.ready))
	taken := s.ready[:n:n]
	if s.ready = s.ready[n:]; len(s.ready) == 0 {
		s.ready = nil
	}
	return taken
}

func (s *source) handOut(ready []*delivery) []transport.Delivery {
	list := make([]transport.Delivery, len(ready))
	now := time.Now()
	var renewed *nats.Msg
	for i, d := range ready {
		if now.Sub(d.arrived) > s.sub.AckWait/2 && d.msg != renewed {
			d.InProgress()
			renewed = d.msg
		}
		if d.delivered > 1 {
			s.bus.stats.redelivered.Add(1)
		}
		list[i] = d
	}
	s.bus.stats.received.Add(int64(len(list)))
	return list
}

// open decodes a batch, including bundles, and makes it ready. Messages that cannot be decoded are
// dead-lettered.
func (s *source) open(batch []pull.Message) {
	ready := make([]*delivery, 0, len(batch))
	list := make([]delivery, len(batch)) // one allocation for all
	var bad []*deadEntry
	now := time.Now()
	for i, m := range batch {
		if now.Sub(m.Arrived) >= s.sub.AckWait {
			s.bus.stats.stale.Add(1) // AckWait has passed, so it is redelivered
			continue
		}
		d := &list[i]
		d.source, d.msg, d.arrived, d.delivered = s, m.Msg, m.Arrived, timesDelivered(m.Reply)
		if participant, n, ok := s.bus.subjects.ParseBundle(m.Subject); ok && s.sub.Stream.WorkQueue() {
			good, worse := s.openBundle(d, participant, n)
			ready, bad = append(ready, good...), append(bad, worse...)
			continue
		}
		var err error
		if d.envelope, err = wire.Decode(m.Msg); err == nil {
			err = s.bus.subjects.Admit(s.sub.Stream, &d.envelope)
		}
		if err != nil {
			bad = append(bad, d.deadEntry(err.Error()))
			continue
		}
		ready = append(ready, d)
	}
	s.mu.Lock()
	s.ready = append(s.ready, ready...)
	s.mu.Unlock()
	for _, l := range bad {
		l.delivery.answered.Store(true)
		if s.bus.dead.put(l) != nil {
			return // closed: redelivered
		}
		if s.bus.config.OnMalformed != nil {
			s.bus.config.OnMalformed(s.sub.Stream, l.reason)
		}
	}
}
