package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/quota"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// This file receives requests from every transport and passes them to the service. It decodes,
// encodes and applies quotas; the service decides the answer.
//
//	bus, this process ─Handle─▶ decode ─┐                             ┌─▶ encode
//	                                    ├─▶ admit ─▶ service.list … ──┤
//	HTTP ─Serve───────────── as it is ──┘                             └─▶ as it is

// call is one request: its envelope and its decoded data.
type call struct {
	*transport.Envelope

	query any // pointer to the method's query; nil if it has none
}

// method describes one kind of request.
type method struct {
	query func() any                                              // returns the target for the data; nil if not decoded
	given func(data []byte) error                                 // validates the raw data; may be nil
	serve func(context.Context, call, func(reply any, err error)) // calls back once, immediately or later
}

// methods returns all methods by name.
func (s *service) methods() map[string]method {
	return map[string]method{
		transport.APIStart:   {serve: answered(s.start)},
		transport.APIRun:     {serve: answered(s.run)},
		transport.APIWait:    {query: fresh[transport.WaitQuery], serve: answered(s.wait)},
		transport.APIWatch:   {query: fresh[transport.WatchQuery], serve: answered(s.watch)},
		transport.APIOperate: {query: fresh[transport.Decision], serve: answered(s.operate)},

		transport.APIGet: reading(s, func(ctx context.Context, c call, _ *none) (*transport.Status, error) { return s.get(ctx, c.Saga) }),
		transport.APIHistory: reading(s, func(ctx context.Context, c call, q *transport.HistoryQuery) (*transport.HistoryReply, error) {
			return s.history(ctx, c.Saga, q)
		}),
		transport.APIList:         reading(s, alone(s.list)),
		transport.APICount:        reading(s, alone(s.count)),
		transport.APIParticipants: reading(s, alone(s.participants)),
		transport.APIOverview:     reading(s, alone(s.overview)),
		transport.APIDeadLetters:  reading(s, alone(s.deadLetters)),
		transport.APIOrphans:      reading(s, alone(s.orphans)),

		transport.APIDefine: reading(s, func(ctx context.Context, c call, _ *none) (*transport.DefinitionReply, error) {
			return s.define(ctx, c.Data)
		}),
		transport.APICheckDefinition: reading(s, func(_ context.Context, c call, _ *none) (*transport.DefinitionReply, error) {
			return s.checkDefinition(c.Data)
		}),
		transport.APIDefinition: reading(s, func(ctx context.Context, c call, _ *none) (*transport.DefinitionReply, error) {
			return s.definition(ctx, c.Definition)
		}),
		transport.APIDefinitions:        reading(s, alone(s.allDefinitions)),
		transport.APICompareDefinitions: reading(s, alone(s.compareDefinitions)),

		transport.APIOperateAll: bulk(s, filterGiven, func(ctx context.Context, c call, q *transport.OperateAllQuery) (*transport.OperateAllReply, error) {
			return s.operateAll(ctx, c.Caller, q)
		}),
		transport.APIReplayDeadLetters:  bulk(s, nil, alone(s.replayDeadLetters)),
		transport.APIDiscardDeadLetters: bulk(s, nil, alone(s.discardDeadLetters)),
		transport.APIPurgeDeadLetters:   bulk(s, purgeGiven, alone(s.purgeDeadLetters)),
		transport.APIRemoveDamaged: bulk(s, nil, func(ctx context.Context, c call, q *transport.RemoveDamagedRequest) (*transport.Status, error) {
			return s.removeDamaged(ctx, c.Saga, q)
		}),
	}
}

// none is the query of a method that takes none.
type none struct{}

// fresh returns a new, empty query.
func fresh[Q any]() any { return new(Q) }

// alone adapts a method that needs only its query.
func alone[Q, A any](serve func(context.Context, *Q) (*A, error)) func(context.Context, call, *Q) (*A, error) {
	return func(ctx context.Context, _ call, q *Q) (*A, error) { return serve(ctx, q) }
}

// answered adapts a method that replies through a callback, with its query if it has one.
func answered[Q, A any](serve func(context.Context, call, *Q, func(*A, error))) func(context.Context, call, func(any, error)) {
	return func(ctx context.Context, c call, reply func(any, error)) {
		q, _ := c.query.(*Q)
		serve(ctx, c, q, func(a *A, err error) { reply(a, err) })
	}
}

// reading returns a method for read requests.
func reading[Q, A any](s *service, serve func(context.Context, call, *Q) (*A, error)) method {
	return within(s.reads, "reading requests", "MaxReads", serve)
}

// bulk returns a method for requests about many objects, and for requests that take as long.
func bulk[Q, A any](s *service, given func([]byte) error, serve func(context.Context, call, *Q) (*A, error)) method {
	m := within(s.bulk, "requests about many sagas or dead letters", "MaxBulk, MaxBulkPerCaller", serve)
	m.given = given
	return m
}

// within returns a method that runs on its own goroutine and takes a slot in a quota. The error for
// a full quota names the kind of request, and limit, the settings that bound it.
func within[Q, A any](q *quota.Quota, kind, limit string, serve func(context.Context, call, *Q) (*A, error)) method {
	m := method{serve: func(ctx context.Context, c call, reply func(any, error)) {
		caller := c.Caller
		if err := admit(q, caller, kind, limit); err != nil {
			reply(nil, err)
			return
		}
		go func() {
			query, _ := c.query.(*Q)
			answer, err := serve(ctx, c, query)
			q.Give(caller) // before the answer, because the caller may send the next request at once
			reply(answer, err)
		}()
	}}
	if _, nothing := any((*Q)(nil)).(*none); !nothing {
		m.query = fresh[Q]
	}
	return m
}

// serve answers all requests on the bus. It subscribes with a wildcard, so that a misspelt method
// gets an error that lists the methods instead of no reply.
func (s *service) serve() (stop func(), err error) {
	first := s.c.config.Subjects.API("")
	end, err := s.c.config.Bus.Respond(first+"*", s.c.config.Name, func(request *transport.Envelope, reply func(*transport.Envelope)) {
		s.handle(context.Background(), strings.TrimPrefix(request.Subject, first), request, func(e *transport.Envelope) { reply(sendable(e)) })
	})
	if err != nil {
		return nil, fmt.Errorf("serve requests: %w", err)
	}
	endSubscribe, err := s.serveSubscribe()
	if err != nil {
		end()
		return nil, err
	}
	return func() {
		s.c.projection.CloseFeed() // tells watchers to ask another coordinator
		end()
		endSubscribe()
	}, nil
}

// handle serves a request whose data is JSON.
func (s *service) handle(ctx context.Context, name string, request *transport.Envelope, reply func(*transport.Envelope)) {
	m, err := s.method(name)
	if err != nil {
		reply(refusalOf(err))
		return
	}
	c := call{Envelope: request}
	if c.query, err = m.decode(request.Data); err != nil {
		reply(refusalOf(err))
		return
	}
	s.c.cleanTrace(request)
	m.serve(ctx, c, func(answer any, err error) { reply(respond(answer, err)) })
}

// method returns the method with the given name. It returns an error if there is none, or if the
// service is not ready for it.
func (s *service) method(name string) (method, error) {
	m, ok := s.byName[name]
	if !ok {
		return m, &badRequest{why: fmt.Sprintf("there is no request %q; there are %s", brief(name), strings.Join(slices.Sorted(maps.Keys(s.byName)), ", "))}
	}
	if s.c.definitions.starting() {
		return m, unavailable(errors.New("the coordinator is starting; try again in a moment"))
	}
	return m, nil
}

func (m *method) decode(data []byte) (query any, err error) {
	if m.query == nil {
		return nil, nil
	}
	query = m.query()
	if err = strict(data, query); err == nil && m.given != nil {
		err = m.given(data)
	}
	return query, err
}

// Handle serves a request like one received over the bus, and waits for the reply. name is one of
// the transport.API constants.
func (c *Coordinator) Handle(ctx context.Context, name string, request *transport.Envelope) *transport.Envelope {
	replies := make(chan *transport.Envelope, 1)
	c.service.handle(ctx, name, request, func(e *transport.Envelope) { replies <- e })
	select {
	case e := <-replies:
		return e
	case <-ctx.Done():
		return respond(nil, unavailable(ctx.Err()))
	}
}

// Serve serves a request that is not encoded as JSON, and waits for the answer. name is one of the
// transport.API constants, which document the types of query and answer. Both are pointers; query
// is nil if the request's data is the caller's payload. The error is a *transport.RequestError.
func (c *Coordinator) Serve(ctx context.Context, name string, request *transport.Envelope, query any) (any, error) {
	m, err := c.service.method(name)
	if err != nil {
		return nil, refused(err)
	}
	switch {
	case m.query == nil:
		query = nil
	case query == nil:
		query = m.query()
	default:
		if want, have := reflect.TypeOf(m.query()), reflect.TypeOf(query); want != have {
			return nil, refused(fmt.Errorf("%s takes %s, not %s", name, want, have))
		}
	}
	c.cleanTrace(request)
	type result struct {
		answer any
		err    error
	}
	results := make(chan result, 1)
	m.serve(ctx, call{request, query}, func(answer any, err error) { results <- result{answer, err} })
	select {
	case r := <-results:
		if r.err != nil {
			return nil, refused(r.err)
		}
		return r.answer, nil
	case <-ctx.Done():
		return nil, refused(unavailable(ctx.Err()))
	}
}

// serveSubscribe answers participants that ask for their subscription.
func (s *service) serveSubscribe() (stop func(), err error) {
	first := s.c.config.Subjects.Subscribe("")
	participantOf := func(request *transport.Envelope) string { return strings.TrimPrefix(request.Subject, first) }
	subscribes := reading(s, func(ctx context.Context, c call, q *transport.SubscribeQuery) (*transport.SubscribeReply, error) {
		return s.subscribe(ctx, participantOf(c.Envelope), q)
	})
	stop, err = s.c.config.Bus.Respond(first+"*", s.c.config.Name, func(request *transport.Envelope, reply func(*transport.Envelope)) {
		participant := participantOf(request)
		// Each participant may have one such request in flight, so that one that repeats it takes
		// no slots from others.
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

// subscribe creates the subscription from which a participant receives its commands.
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

// expectParticipants gives the bus the names of the participants in the registered definitions, so
// that each has a subscription even if it never requests one.
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
