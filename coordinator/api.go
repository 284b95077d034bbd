package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator/internal/projection"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// DefaultWait is how long a wait request is held when it does not say when it
// expires; MaxWait bounds it.
const (
	DefaultWait = 10 * time.Second
	MaxWait     = time.Minute
)

// methods are the requests and who serves them.
func (s *service) methods() map[string]func(context.Context, *transport.Envelope, func(*transport.Envelope)) {
	return map[string]func(context.Context, *transport.Envelope, func(*transport.Envelope)){
		transport.APIStart:       s.apiStart,
		transport.APIRun:         s.apiRun,
		transport.APIGet:         s.reading(s.apiGet),
		transport.APIWait:        s.apiWait,
		transport.APIOperate:     s.apiOperate,
		transport.APIList:        s.reading(s.apiList),
		transport.APIHistory:     s.reading(s.apiHistory),
		transport.APIDefine:      s.reading(s.apiDefine),
		transport.APIDefinitions: s.reading(s.apiDefinitions),

		transport.APIWatch:              s.apiWatch,
		transport.APIParticipants:       s.reading(s.apiParticipants),
		transport.APIOverview:           s.reading(s.apiOverview),
		transport.APIOperateAll:         s.inBulk(s.apiOperateAll),
		transport.APICount:              s.reading(s.apiCount),
		transport.APIDefinition:         s.reading(s.apiDefinition),
		transport.APICheckDefinition:    s.reading(s.apiCheckDefinition),
		transport.APICompareDefinitions: s.reading(s.apiCompareDefinitions),
		transport.APIDeadLetters:        s.reading(s.apiDeadLetters),
		transport.APIReplayDeadLetters:  s.inBulk(s.eachDeadLetter("replayed", transport.DeadLetterOffice.ReplayDeadLetter)),
		transport.APIDiscardDeadLetters: s.inBulk(s.eachDeadLetter("discarded", transport.DeadLetterOffice.DiscardDeadLetter)),
		transport.APIPurgeDeadLetters:   s.inBulk(s.apiPurgeDeadLetters),
		transport.APIOrphans:            s.reading(s.apiOrphans),
		transport.APIRemoveDamaged:      s.atLength(s.apiRemoveDamaged),
	}
}

// serve answers the requests that come over the bus: all of them, so that a method that
// is misspelt gets a refusal that says which there are, and not silence.
func (s *service) serve() (stop func(), err error) {
	methods, first := s.methods(), s.c.config.Subjects.API("")
	end, err := s.c.config.Bus.Respond(first+"*", s.c.config.Name, func(request *transport.Envelope, answer func(*transport.Envelope)) {
		reply := func(e *transport.Envelope) { answer(sendable(e)) }
		handle, ok := methods[strings.TrimPrefix(request.Subject, first)]
		if !ok {
			reply(noMethod(strings.TrimPrefix(request.Subject, first), methods))
			return
		}
		s.c.cleanTrace(request)
		handle(context.Background(), request, reply)
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
		s.c.projection.CloseFeed() // those who watch are told to ask elsewhere
		end()
		endSubscribe()
	}, nil
}

// noMethod refuses a request that there is not.
func noMethod[T any](method string, methods map[string]T) *transport.Envelope {
	return refusal(transport.CodeInvalidArgument, fmt.Sprintf("there is no request %q; there are %s", brief(method), strings.Join(slices.Sorted(maps.Keys(methods)), ", ")))
}

// Handle serves one request and waits for its reply: the same code that answers
// on the bus, for faces that do not come over it. method is one of the
// transport.API constants.
func (c *Coordinator) Handle(ctx context.Context, method string, request *transport.Envelope) *transport.Envelope {
	methods := c.service.methods()
	handle, ok := methods[method]
	if !ok {
		return noMethod(method, methods)
	}
	if c.definitions.starting() {
		return refusal(transport.CodeUnavailable, "the coordinator is starting; try again in a moment")
	}
	c.cleanTrace(request)
	replies := make(chan *transport.Envelope, 1)
	handle(ctx, request, func(e *transport.Envelope) { replies <- e })
	select {
	case e := <-replies:
		return e
	case <-ctx.Done():
		return refusal(transport.CodeUnavailable, ctx.Err().Error())
	}
}

func (s *service) apiStart(_ context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
	s.start(request, reply, func(r *Result) { reply(s.replyTo(r, false)) })
}

// apiRun registers the caller in the shard's turn, right behind the commit of the
// start. What ends the saga comes later, so nobody has to look; unless it was in the same batch.
func (s *service) apiRun(ctx context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
	s.start(request, reply, func(r *Result) {
		if r.Err != nil || r.Ended != nil || r.Ignored != "" {
			reply(s.replyTo(r, true))
			return
		}
		id, existed := r.Instance.ID, r.Existed
		answer := func(where *transport.Status, err error) {
			if err == nil {
				where.Existed = existed
				where.Input = nil // the caller has just sent it
			}
			reply(respond(where, err))
		}
		tell := func(r *Result) {
			if r.Err != nil {
				reply(refusalOf(r.Err))
				return
			}
			answer(status(r.Definition, r.Instance, true), nil)
		}
		if r.Instance.Phase.AtRest() {
			tell(r)
			return
		}
		one, moving := wait(s.c.projection, id, request.Caller, tell)
		if one == nil {
			tell(r)
			return
		}
		s.await(ctx, id, one, moving, request, true, answer)
	})
}

// start submits a request that starts a saga. What comes of it is told to done; reply
// is for what is refused before.
func (s *service) start(request *transport.Envelope, reply func(*transport.Envelope), done func(*Result)) {
	id := request.Saga
	if id == "" {
		made, err := uuid.NewV7()
		if err != nil {
			reply(refusal(transport.CodeInternal, "no random id: "+err.Error()))
			return
		}
		id = contract.SagaID(made.String())
	}
	switch {
	case request.Definition.Name == "":
		reply(refusal(transport.CodeInvalidArgument, "the start names no definition; give it in the definition attribute (ce-definition), for example checkout or checkout/2"))
		return
	case checkStart(id, request) != nil:
		reply(refusalOf(checkStart(id, request)))
		return
	}
	if refused := s.admit(request.Definition); refused != nil {
		reply(refused)
		return
	}
	s.submit(work{
		input: s.c.stamped(Input{Saga: id, Definition: request.Definition, Event: machine.Event{
			Type: contract.EventStarted, ID: id, Payload: request.Data,
			ContentType: request.ContentType, TraceParent: s.c.root(id, request.TraceParent),
		}}),
		request: request,
		reply:   func(r Result) { done(&r) },
	}, reply)
}

// checkStart refuses what could not be sent on, whichever door it came through.
func checkStart(id contract.SagaID, request *transport.Envelope) error {
	if err := id.Check(); err != nil {
		return err
	}
	if err := contract.CheckName("definition", request.Definition.Name); err != nil {
		return err
	}
	if err := transport.CheckContentType(request.ContentType); err != nil {
		return violation("content_type", err.Error())
	}
	return nil
}

// tooMuch refuses a start that met a limit. Its caller comes back in turn, after
// least or later.
func (s *service) tooMuch(limit string, least time.Duration, reason string) *transport.Envelope {
	now := s.c.config.Clock()
	s.c.startRefused(limit, now)
	return exhausted(s.c.retryPacer.next(now, least), reason)
}

func (s *service) apiOperate(_ context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
	var op transport.Decision
	if err := strict(request.Data, &op); err != nil {
		reply(refusal(transport.CodeInvalidArgument, err.Error()))
		return
	}
	if given, ok := request.Value.(transport.Decision); ok {
		op.Result = given.Result // byte for byte
	}
	if err := request.Saga.Check(); err != nil {
		reply(refusalOf(err))
		return
	}
	if err := checkOperation(&op, ""); err != nil {
		reply(refusalOf(err))
		return
	}
	s.submit(work{
		input:   s.c.stamped(Input{Saga: request.Saga, Expected: op.ExpectedRevision, Event: s.operated(&op)}),
		request: request,
		reply:   func(r Result) { reply(s.replyTo(&r, true)) },
	}, reply)
}

// submit hands a request to its shard without blocking the bus.
func (s *service) submit(w work, reply func(*transport.Envelope)) {
	start := w.input.Event.Type == contract.EventStarted
	switch taken, open := s.c.offer(w); {
	case taken && start:
		s.c.retryPacer.admitted()
	case taken:
	case open && start:
		reply(s.tooMuch(LimitWaiting, retryBusy, "the coordinator is busy (MaxWaiting); try again when it says so"))
	case open:
		reply(exhausted(retryBusy, "the coordinator is busy (MaxWaiting); try again in a moment"))
	default:
		reply(refusal(transport.CodeUnavailable, "the coordinator is stopping; try again"))
	}
}

// replyTo turns a result into a reply. Steps are told where somebody looks at
// them; a start is answered briefly.
func (s *service) replyTo(r *Result, steps bool) *transport.Envelope {
	switch {
	case r.Err != nil:
		return refusalOf(r.Err)
	case r.Ended != nil:
		return respond(stoneStatus(r.Ended, true), nil)
	case r.Ignored != "":
		return refusal(transport.CodeFailedPrecondition, string(r.Ignored))
	}
	where := status(r.Definition, r.Instance, steps)
	where.Existed = r.Existed
	return respond(where, nil)
}

func (s *service) apiGet(ctx context.Context, request *transport.Envelope) (any, error) {
	return s.statusOf(ctx, request.Saga)
}

func (s *service) statusOf(ctx context.Context, id contract.SagaID) (*transport.Status, error) {
	if err := id.Check(); err != nil {
		return nil, err
	}
	in, err := s.c.config.Store.Load(ctx, id)
	if stone, ok := errors.AsType[*store.TombstoneError](err); ok {
		return stoneStatus(stone, false), nil
	}
	if err != nil {
		return nil, err // names the saga
	}
	def, err := s.c.definitions.find(in.Definition)
	if err != nil {
		return unexplained(in, err), nil
	}
	return status(def, in, true), nil
}

// apiWait registers the caller first and looks then, so that no end is missed
// between the two.
func (s *service) apiWait(ctx context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
	id := request.Saga
	var query transport.WaitQuery
	if err := strict(request.Data, &query); err != nil {
		reply(refusalOf(err))
		return
	}
	answer := func(where *transport.Status, err error) { reply(respond(where, err)) }
	one, moving := wait(s.c.projection, id, request.Caller, func(r *Result) { reply(s.replyTo(r, true)) })
	if one == nil {
		if where := s.briefly(id, query.Brief); where != nil {
			answer(where, nil)
			return
		}
		s.reading(s.apiGet)(ctx, request, reply)
		return
	}
	s.await(ctx, id, one, moving, request, query.Brief, answer)
}

// await holds a request that is registered, or answers it if the saga is at rest. One that is
// known to move needs no look: what brings it to rest tells those who are registered.
func (s *service) await(ctx context.Context, id contract.SagaID, one *projection.Waiter, moving bool, request *transport.Envelope, brief bool, answer func(*transport.Status, error)) {
	if moving {
		s.keep(id, one, request, brief, answer)
		return
	}
	s.look(ctx, id, func(where *transport.Status, err error) {
		if err == nil && !where.AtRest() {
			s.keep(id, one, request, brief, answer)
			return
		}
		if one.Remove() {
			answer(where, err)
		}
	})
}

// keep holds a request that is registered until it expires, and answers then where
// the saga stands: in few words, if that is enough and it is known to move.
func (s *service) keep(id contract.SagaID, one *projection.Waiter, request *transport.Envelope, brief bool, answer func(*transport.Status, error)) {
	hold := DefaultWait
	if !request.Expires.IsZero() {
		hold = min(max(request.Expires.Sub(s.c.config.Clock()), 0), MaxWait)
	}
	one.Hold(hold, func() {
		if !one.Remove() {
			return
		}
		if where := s.briefly(id, brief); where != nil {
			answer(where, nil)
			return
		}
		s.look(context.Background(), id, answer)
	})
}

// briefly is where a saga stands in few words; nil: that is not enough, or it is not
// known to move.
func (s *service) briefly(id contract.SagaID, enough bool) *transport.Status {
	if at, moving := s.c.projection.Moving(id); enough && moving {
		return &transport.Status{ID: id, Definition: at.Definition, Phase: at.Phase, Revision: at.Revision}
	}
	return nil
}

// look reads where a saga stands, on a goroutine that waits for its turn. MaxWaiters
// bounds them.
func (s *service) look(ctx context.Context, id contract.SagaID, then func(*transport.Status, error)) {
	go func() {
		s.looks <- struct{}{}
		defer func() { <-s.looks }()
		then(s.statusOf(ctx, id))
	}()
}
