package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/quota"
	"github.com/amends-dev/amends/internal/strictjson"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// This file receives requests from every transport and passes them to the service. It decodes
// requests, applies quotas and encodes replies; the service determines the replies.
//
//	bus, this process ─Handle─▶ decode ─┐                             ┌─▶ encode
//	                                    ├─▶ admit ─▶ service.list … ──┤
//	HTTP ─Serve───────────── as it is ──┘                             └─▶ as it is

// call is one request: its envelope, which names the caller and the trace, and its message.
type call struct {
	*transport.Envelope

	request any // pointer to the method's request, such as *api.GetRequest
}

// method describes one kind of request.
type method struct {
	request func() any                                                 // returns an empty request
	binary  func(*transport.Envelope) any                              // returns the request of a CloudEvent in binary mode; nil if every request of this kind is JSON
	serve   func(context.Context, call, func(response any, err error)) // calls back once, immediately or later
}

// methods returns all methods by name.
func (s *service) methods() map[string]method {
	start := answered(s.start, func(saga *api.Saga) *api.StartResponse { return &api.StartResponse{Saga: saga} })
	start.binary = startRequest
	run := answered(s.run, func(saga *api.Saga) *api.RunResponse { return &api.RunResponse{Saga: saga} })
	run.binary = s.runRequest
	return map[string]method{
		api.MethodStart:   start,
		api.MethodRun:     run,
		api.MethodWait:    answered(s.wait, func(saga *api.Saga) *api.WaitResponse { return &api.WaitResponse{Saga: saga} }),
		api.MethodPoll:    answered(s.poll, func(r *api.PollResponse) *api.PollResponse { return r }),
		api.MethodOperate: answered(s.operate, func(saga *api.Saga) *api.OperateResponse { return &api.OperateResponse{Saga: saga} }),

		api.MethodGet:              reading(s, s.get),
		api.MethodHistory:          reading(s, s.history),
		api.MethodList:             reading(s, s.list),
		api.MethodCount:            reading(s, s.count),
		api.MethodListParticipants: reading(s, s.listParticipants),
		api.MethodGetOverview:      reading(s, s.getOverview),
		api.MethodListDeadLetters:  reading(s, s.listDeadLetters),
		api.MethodFindOrphans:      reading(s, s.findOrphans),

		api.MethodRegisterDefinition: reading(s, s.registerDefinition),
		api.MethodGetDefinition:      reading(s, s.getDefinition),
		api.MethodListDefinitions:    reading(s, s.listDefinitions),
		api.MethodCompareDefinitions: reading(s, s.compareDefinitions),

		api.MethodOperatePage:        bulk(s, s.operatePage),
		api.MethodReplayDeadLetters:  bulk(s, alone(s.replayDeadLetters)),
		api.MethodDiscardDeadLetters: bulk(s, alone(s.discardDeadLetters)),
		api.MethodPurgeDeadLetters:   bulk(s, alone(s.purgeDeadLetters)),
		api.MethodRemoveDamaged:      bulk(s, alone(s.removeDamaged)),
	}
}

// startRequest converts a CloudEvent in binary mode to a start request.
func startRequest(e *transport.Envelope) any {
	q := &api.StartRequest{ID: e.Saga, Definition: e.Definition, ContentType: e.ContentType}
	q.Input, q.InputBinary = inputOf(e)
	return q
}

// runRequest converts a CloudEvent in binary mode to a run request. The time at which the event
// expires becomes the request's timeout.
func (s *service) runRequest(e *transport.Envelope) any {
	q := &api.RunRequest{ID: e.Saga, Definition: e.Definition, ContentType: e.ContentType}
	q.Input, q.InputBinary = inputOf(e)
	if !e.Expires.IsZero() {
		q.Timeout = api.For(min(max(e.Expires.Sub(s.c.config.Clock()), 0), MaxWait))
	}
	return q
}

// inputOf returns the data of a CloudEvent as the input of a request.
func inputOf(e *transport.Envelope) (input json.RawMessage, binary []byte) {
	if contract.IsJSON(e.ContentType) {
		return e.Data, nil
	}
	return nil, e.Data
}

// answered returns a method that replies through a callback.
func answered[Q, A, R any](serve func(context.Context, call, *Q, func(*A, error)), response func(*A) *R) method {
	return method{request: fresh[Q], serve: func(ctx context.Context, c call, reply func(any, error)) {
		q, _ := c.request.(*Q)
		serve(ctx, c, q, func(a *A, err error) {
			if err != nil {
				reply(nil, err)
				return
			}
			reply(response(a), nil)
		})
	}}
}

// fresh returns a new, empty request.
func fresh[Q any]() any { return new(Q) }

// reading returns a method for read requests.
func reading[Q, A any](s *service, serve func(context.Context, *Q) (*A, error)) method {
	return within(s.reads, "reading requests", "MaxReads", alone(serve))
}

// alone adds an unused call parameter to a function that needs only the request.
func alone[Q, A any](serve func(context.Context, *Q) (*A, error)) func(context.Context, call, *Q) (*A, error) {
	return func(ctx context.Context, _ call, q *Q) (*A, error) { return serve(ctx, q) }
}

// bulk returns a method for requests about many objects, and for other requests that take equally
// long.
func bulk[Q, A any](s *service, serve func(context.Context, call, *Q) (*A, error)) method {
	return within(s.bulk, "requests about many sagas or dead letters", "MaxBulk, MaxBulkPerCaller", serve)
}

// within returns a method that runs on its own goroutine and takes a slot in a quota. The error for
// a full quota contains kind, which names the requests, and limit, which names the settings that
// bound them.
func within[Q, A any](q *quota.Quota, kind, limit string, serve func(context.Context, call, *Q) (*A, error)) method {
	return method{request: fresh[Q], serve: func(ctx context.Context, c call, reply func(any, error)) {
		caller := c.Caller
		if err := admit(q, caller, kind, limit); err != nil {
			reply(nil, err)
			return
		}
		go func() {
			request, _ := c.request.(*Q)
			answer, err := serve(ctx, c, request)
			q.Give(caller) // before the answer, because the caller may send the next request at once
			reply(answer, err)
		}()
	}}
}

// serve answers all requests on the bus. It subscribes with a wildcard, so that a request with a
// misspelt method gets an error that lists the methods. Otherwise it would get no reply.
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
		s.c.projection.CloseFeed() // makes watchers ask another coordinator
		end()
		endSubscribe()
	}, nil
}

// handle serves a request that is encoded as on the bus.
func (s *service) handle(ctx context.Context, name string, request *transport.Envelope, reply func(*transport.Envelope)) {
	m, err := s.method(name)
	if err != nil {
		reply(refusalOf(err))
		return
	}
	c := call{Envelope: request}
	if c.request, err = m.decode(request); err != nil {
		reply(refusalOf(err))
		return
	}
	s.c.cleanTrace(request)
	m.serve(ctx, c, func(answer any, err error) { reply(respond(answer, err)) })
}

// method returns the method with the given name. It returns an error if there is no such method, or
// if the coordinator is starting.
func (s *service) method(name string) (method, error) {
	m, ok := s.byName[name]
	if !ok {
		return m, &badRequest{why: fmt.Sprintf("there is no request %q; use one of: %s", brief(name), strings.Join(slices.Sorted(maps.Keys(s.byName)), ", "))}
	}
	if s.c.definitions.starting() {
		return m, unavailable(errors.New("the coordinator is starting; try again in a moment"))
	}
	return m, nil
}

func (m *method) decode(e *transport.Envelope) (request any, err error) {
	if m.binary != nil {
		return m.binary(e), nil
	}
	request = m.request()
	err = strictjson.Decode(e.Data, request)
	return request, err
}

// Handle serves a request like one received over the bus, and waits for the reply. name is one of
// the api.Method constants.
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

// Serve serves a request that is not encoded, and waits for the response. name is one of the
// api.Method constants, which document the types of request and response; both are pointers. The
// envelope holds the caller and the trace. The error is an *api.Error.
func (c *Coordinator) Serve(ctx context.Context, name string, envelope *transport.Envelope, request any) (any, error) {
	m, err := c.service.method(name)
	if err != nil {
		return nil, refused(err)
	}
	if want, have := reflect.TypeOf(m.request()), reflect.TypeOf(request); want != have {
		return nil, refused(fmt.Errorf("%s takes %s, not %s", name, want, have))
	}
	c.cleanTrace(envelope)
	type result struct {
		answer any
		err    error
	}
	results := make(chan result, 1)
	m.serve(ctx, call{envelope, request}, func(answer any, err error) { results <- result{answer, err} })
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
	subscribes := within(s.reads, "reading requests", "MaxReads", func(ctx context.Context, c call, q *api.SubscribeRequest) (*api.SubscribeResponse, error) {
		return s.subscribe(ctx, participantOf(c.Envelope), q)
	})
	stop, err = s.c.config.Bus.Respond(first+"*", s.c.config.Name, func(request *transport.Envelope, reply func(*transport.Envelope)) {
		participant := participantOf(request)
		// Each participant may have one such request in flight, so that a participant that repeats its
		// request takes no slots from others.
		if _, busy := s.subscribing.LoadOrStore(participant, struct{}{}); busy {
			reply(refusalOf(&busyError{retryBusy, "the participant's subscription is already being created; try again in a moment"}))
			return
		}
		answer := func(r any, err error) {
			s.subscribing.Delete(participant)
			reply(respond(r, err))
		}
		query, err := subscribes.decode(request)
		if err != nil {
			answer(nil, err)
			return
		}
		subscribes.serve(context.Background(), call{request, query}, answer)
	})
	if err != nil {
		return nil, fmt.Errorf("serve subscribe requests: %w", err)
	}
	return stop, nil
}

// subscribe creates the subscription from which a participant receives its commands.
func (s *service) subscribe(ctx context.Context, participant string, query *api.SubscribeRequest) (*api.SubscribeResponse, error) {
	if err := contract.CheckName("participant", participant); err != nil {
		return nil, err
	}
	var wrong violations
	bounded := func(field string, value, least, most int) {
		if value != 0 && (value < least || value > most) {
			wrong.add(field, fmt.Sprintf("is %d; give %d to %d, or leave it out", value, least, most))
		}
	}
	if wait := query.AckWait; wait != nil && (wait.Or(0) < transport.MinAckWait || wait.Or(0) > transport.MaxAckWait) {
		wrong.add("ackWait", fmt.Sprintf("is %s; give %s to %s, or leave it out", wait, api.Duration(transport.MinAckWait), api.Duration(transport.MaxAckWait)))
	}
	bounded("maxInFlight", query.MaxInFlight, 1, transport.MostInFlight)
	bounded("bundle", query.Bundle, 1, transport.MaxBundleSize)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	bus, ok := s.c.config.Bus.(transport.Provisioner)
	if !ok {
		return nil, &badRequest{why: "participants on this bus create their own subscriptions"}
	}
	reply, err := bus.Provide(ctx, participant, *query)
	if err != nil {
		return nil, unavailable(err)
	}
	return &reply, nil
}

// expectParticipants gives the bus the names of the participants in the registered definitions, so
// that each participant has a subscription even if it never requests one.
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
