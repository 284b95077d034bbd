package coordinator

import (
	"context"
	"fmt"
	"strings"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// serveSubscribe answers participants that ask for their subscription.
func (s *service) serveSubscribe() (stop func(), err error) {
	first := s.c.config.Subjects.Subscribe("")
	participantOf := func(request *transport.Envelope) string { return strings.TrimPrefix(request.Subject, first) }
	subscribes := reading(s, func(ctx context.Context, c call, q *transport.SubscribeQuery) (*transport.SubscribeReply, error) {
		return s.subscribe(ctx, participantOf(c.Envelope), q)
	})
	stop, err = s.c.config.Bus.Respond(first+"*", s.c.config.Name, func(request *transport.Envelope, reply func(*transport.Envelope)) {
		participant := participantOf(request)
		// One at a time for each: who asks and asks takes no turn of anybody else.
		if _, busy := s.subscribing.LoadOrStore(participant, struct{}{}); busy {
			reply(refusalOf(&busyError{retryBusy, "the participant's subscription is being made already; ask again in a moment"}))
			return
		}
		answer := func(r any, err error) {
			s.subscribing.Delete(participant)
			reply(respond(r, err))
		}
		query, err := subscribes.decode(request.Data)
		if err != nil {
			answer(nil, err)
			return
		}
		subscribes.serve(context.Background(), call{request, query}, answer)
	})
	if err != nil {
		return nil, fmt.Errorf("serve participants that subscribe: %w", err)
	}
	return stop, nil
}

// subscribe makes ready the subscription from which a participant takes its commands.
func (s *service) subscribe(ctx context.Context, participant string, query *transport.SubscribeQuery) (*transport.SubscribeReply, error) {
	if err := contract.CheckName("participant", participant); err != nil {
		return nil, err
	}
	var wrong violations
	bounded := func(field string, value, least, most int64) {
		if value != 0 && (value < least || value > most) {
			wrong = append(wrong, transport.Violation{Field: field, Problem: fmt.Sprintf("is %d; give %d to %d, or leave it out", value, least, most)})
		}
	}
	bounded("ack_wait_ms", query.AckWaitMS, transport.MinAckWait.Milliseconds(), transport.MaxAckWait.Milliseconds())
	bounded("max_in_flight", int64(query.MaxInFlight), 1, transport.MostInFlight)
	bounded("bundle", int64(query.Bundle), 1, transport.MaxBundleSize)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	bus, ok := s.c.config.Bus.(transport.Provisioner)
	if !ok {
		return nil, &badRequest{why: "participants of this bus subscribe by themselves"}
	}
	reply, err := bus.Provide(ctx, participant, *query)
	if err != nil {
		return nil, unavailable(err)
	}
	return &reply, nil
}

// expectParticipants tells the bus who answers in the definitions that there are, so that
// whoever makes no subscription of their own has one.
func (c *Coordinator) expectParticipants() {
	bus, ok := c.config.Bus.(transport.Provisioner)
	if !ok {
		return
	}
	var names []string
	for _, def := range c.definitions.all() {
		actions(def, func(a *saga.Action) { names = append(names, a.Participant) })
	}
	bus.Expect(names)
}
