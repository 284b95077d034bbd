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
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/saga"
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
func (c *Coordinator) methods() map[string]func(context.Context, *transport.Envelope, func(*transport.Envelope)) {
	return map[string]func(context.Context, *transport.Envelope, func(*transport.Envelope)){
		transport.APIStart:       c.apiStart,
		transport.APIRun:         c.apiRun,
		transport.APIGet:         c.reading(c.apiGet),
		transport.APIWait:        c.apiWait,
		transport.APIOperate:     c.apiOperate,
		transport.APIList:        c.reading(c.apiList),
		transport.APIHistory:     c.reading(c.apiHistory),
		transport.APIDefine:      c.reading(c.apiDefine),
		transport.APIDefinitions: c.reading(c.apiDefinitions),

		transport.APIWatch:              c.apiWatch,
		transport.APIParticipants:       c.reading(c.apiParticipants),
		transport.APIOverview:           c.reading(c.apiOverview),
		transport.APIOperateAll:         c.inBulk(c.apiOperateAll),
		transport.APICount:              c.reading(c.apiCount),
		transport.APIDefinition:         c.reading(c.apiDefinition),
		transport.APICheckDefinition:    c.reading(c.apiCheckDefinition),
		transport.APICompareDefinitions: c.reading(c.apiCompareDefinitions),
		transport.APIDeadLetters:        c.reading(c.apiDeadLetters),
		transport.APIReplayDeadLetters:  c.inBulk(c.eachDeadLetter("replayed", transport.DeadLetterOffice.ReplayDeadLetter)),
		transport.APIDiscardDeadLetters: c.inBulk(c.eachDeadLetter("discarded", transport.DeadLetterOffice.DiscardDeadLetter)),
		transport.APIPurgeDeadLetters:   c.inBulk(c.apiPurgeDeadLetters),
		transport.APIOrphans:            c.reading(c.apiOrphans),
		transport.APIRemoveDamaged:      c.atLength(c.apiRemoveDamaged),
	}
}

// serve answers the requests that come over the bus: all of them, so that a method that
// is misspelt gets a refusal that says which there are, and not silence.
func (c *Coordinator) serve() (stop func(), err error) {
	crashpoint.Here("coordinator: before serving requests")
	methods, first := c.methods(), c.config.Subjects.API("")
	end, err := c.config.Bus.Respond(first+"*", c.config.Name, func(request *transport.Envelope, answer func(*transport.Envelope)) {
		reply := func(e *transport.Envelope) { answer(sendable(e)) }
		handle, ok := methods[strings.TrimPrefix(request.Subject, first)]
		if !ok {
			reply(noMethod(strings.TrimPrefix(request.Subject, first), methods))
			return
		}
		c.cleanTrace(request)
		handle(context.Background(), request, reply)
	})
	if err != nil {
		return nil, fmt.Errorf("serve requests: %w", err)
	}
	endSubscribe, err := c.serveSubscribe()
	if err != nil {
		end()
		return nil, err
	}
	return func() {
		c.feed.close() // those who watch are told to ask elsewhere
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
	methods := c.methods()
	handle, ok := methods[method]
	if !ok {
		return noMethod(method, methods)
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

func (c *Coordinator) apiStart(_ context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
	c.start(request, reply, func(r *Result) { reply(c.replyTo(r, false)) })
}

// apiRun registers the caller in the shard's turn, right behind the commit of the
// start: what ends the saga comes later, so no end is missed and nobody has to look.
// Of a saga that is at rest already the shard tells them right behind this.
func (c *Coordinator) apiRun(_ context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
	c.start(request, reply, func(r *Result) {
		if r.Err != nil || r.Ended != nil || r.Ignored != "" {
			reply(c.replyTo(r, true))
			return
		}
		id, existed := r.Instance.ID, r.Existed
		answer := func(s *transport.Status, err error) {
			if err == nil {
				s.Existed = existed
				s.Input = nil // the caller has just sent it
			}
			reply(respond(s, err))
		}
		tell := func(r *Result) {
			if r.Err != nil {
				reply(refusalOf(r.Err))
				return
			}
			answer(status(r.Definition, r.Instance, true), nil)
		}
		one := c.waiters.add(id, request.Caller, tell)
		if one == nil {
			tell(r)
			return
		}
		c.keep(id, one, request, true, answer)
	})
}

// start submits a request that starts a saga. What comes of it is told to done; reply
// is for what is refused before.
func (c *Coordinator) start(request *transport.Envelope, reply func(*transport.Envelope), done func(*Result)) {
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
	if refused := c.admit(request.Definition); refused != nil {
		reply(refused)
		return
	}
	crashpoint.Here("coordinator: start received")
	c.submit(work{
		input: c.stamped(Input{Saga: id, Definition: request.Definition, Event: saga.Event{
			Type: saga.Started, ID: id, Payload: request.Data,
			ContentType: request.ContentType, TraceParent: c.root(id, request.TraceParent),
		}}),
		request: request,
		reply:   func(r Result) { done(&r) },
	}, reply)
}

// checkStart refuses what could not be sent on, whichever door it came through.
func checkStart(id saga.ID, request *transport.Envelope) error {
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
func (c *Coordinator) tooMuch(limit string, least time.Duration, reason string) *transport.Envelope {
	now := c.config.Clock()
	c.observer.StartRefused(limit, now)
	return exhausted(c.retryPacer.next(now, least), reason)
}

func (c *Coordinator) apiOperate(_ context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
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
	c.submit(work{
		input:   c.stamped(Input{Saga: request.Saga, Expected: op.ExpectedRevision, Event: c.operated(&op)}),
		request: request,
		reply:   func(r Result) { reply(c.replyTo(&r, true)) },
	}, reply)
}

// submit hands a request to its shard without blocking the bus.
func (c *Coordinator) submit(w work, reply func(*transport.Envelope)) {
	start := w.input.Event.Type == saga.Started
	switch taken, open := c.offer(w); {
	case taken && start:
		c.retryPacer.admitted()
	case taken:
	case open && start:
		reply(c.tooMuch(LimitWaiting, retryBusy, "the coordinator is busy (MaxWaiting); try again when it says so"))
	case open:
		reply(exhausted(retryBusy, "the coordinator is busy (MaxWaiting); try again in a moment"))
	default:
		reply(refusal(transport.CodeUnavailable, "the coordinator is stopping; try again"))
	}
}

// replyTo turns a result into a reply. Steps are told where somebody looks at
// them; a start is answered briefly.
func (c *Coordinator) replyTo(r *Result, steps bool) *transport.Envelope {
	switch {
	case r.Err != nil:
		return refusalOf(r.Err)
	case r.Ended != nil:
		return respond(stoneStatus(r.Ended, true), nil)
	case r.Ignored != "":
		return refusal(transport.CodeFailedPrecondition, string(r.Ignored))
	}
	s := status(r.Definition, r.Instance, steps)
	s.Existed = r.Existed
	return respond(s, nil)
}

func (c *Coordinator) apiGet(ctx context.Context, request *transport.Envelope) (any, error) {
	return c.statusOf(ctx, request.Saga)
}

func (c *Coordinator) statusOf(ctx context.Context, id saga.ID) (*transport.Status, error) {
	if err := id.Check(); err != nil {
		return nil, err
	}
	in, err := c.config.Store.Load(ctx, id)
	if stone, ok := errors.AsType[*store.TombstoneError](err); ok {
		return stoneStatus(stone, false), nil
	}
	if err != nil {
		return nil, err // names the saga
	}
	def, err := c.definitions.find(in.Definition)
	if err != nil {
		return unexplained(in, err), nil
	}
	return status(def, in, true), nil
}

// apiWait registers the caller first and looks then, so that no end is missed
// between the two. A saga that is known to move needs no look: what brings it to rest
// makes it unknown before it tells those who are registered.
func (c *Coordinator) apiWait(ctx context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
	id := request.Saga
	var query transport.WaitQuery
	if err := strict(request.Data, &query); err != nil {
		reply(refusalOf(err))
		return
	}
	answer := func(s *transport.Status, err error) { reply(respond(s, err)) }
	one := c.waiters.add(id, request.Caller, func(r *Result) { reply(c.replyTo(r, true)) })
	if one == nil {
		if s := c.briefly(id, query.Brief); s != nil {
			answer(s, nil)
			return
		}
		c.reading(c.apiGet)(ctx, request, reply)
		return
	}
	if c.active.knows(id) {
		c.keep(id, one, request, query.Brief, answer)
		return
	}
	c.look(ctx, id, func(s *transport.Status, err error) {
		if err == nil && !s.AtRest() {
			c.keep(id, one, request, query.Brief, answer)
			return
		}
		if c.waiters.remove(id, one) {
			answer(s, err)
		}
	})
}

// keep holds a request that is registered until it expires, and answers then where
// the saga stands: in few words, if that is enough and it is known to move.
func (c *Coordinator) keep(id saga.ID, one *waiter, request *transport.Envelope, brief bool, answer func(*transport.Status, error)) {
	hold := DefaultWait
	if !request.Expires.IsZero() {
		hold = min(max(request.Expires.Sub(c.config.Clock()), 0), MaxWait)
	}
	c.waiters.hold(one, hold, func() {
		if !c.waiters.remove(id, one) {
			return
		}
		if s := c.briefly(id, brief); s != nil {
			answer(s, nil)
			return
		}
		c.look(context.Background(), id, answer)
	})
}

// briefly is where a saga stands in few words; nil: that is not enough, or it is not
// known to move.
func (c *Coordinator) briefly(id saga.ID, enough bool) *transport.Status {
	if !enough {
		return nil
	}
	return c.active.brief(id)
}

// look reads where a saga stands, on a goroutine that waits for its turn. MaxWaiters
// bounds them.
func (c *Coordinator) look(ctx context.Context, id saga.ID, then func(*transport.Status, error)) {
	go func() {
		c.looks <- struct{}{}
		defer func() { <-c.looks }()
		then(c.statusOf(ctx, id))
	}()
}
