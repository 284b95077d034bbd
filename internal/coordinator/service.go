package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator/internal/projection"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/quota"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// DefaultWait is how long a wait request without a timeout is held; MaxWait is the maximum.
const (
	DefaultWait = 10 * time.Second
	MaxWait     = time.Minute
)

// service serves requests. It has one method for each request, in the file for that kind of request
// (see doc.go). The methods have typed queries and answers, whatever the transport (api.go). They
// query the coordinator, and decide what callers may see.
//
// A method that reads runs on its own goroutine and returns the answer. A method that waits for a
// commit or for the end of a saga takes a callback, so that a hundred thousand waiting callers need
// no goroutines.
type service struct {
	c      *Coordinator
	byName map[string]method

	reads       *quota.Quota  // for requests that read; see limit.go
	watches     *quota.Quota  // for open watch requests
	bulk        *quota.Quota  // for requests about many sagas or dead letters
	looks       chan struct{} // bounds the store reads for wait and watch requests
	subscribing sync.Map      // participants whose subscription is being created
}

func newService(c *Coordinator) *service {
	s := &service{
		c: c, reads: quota.New(MaxReads, 0), watches: quota.New(10*c.config.MaxWatches, c.config.MaxWatches),
		bulk: quota.New(MaxBulk, MaxBulkPerCaller), looks: make(chan struct{}, maxLooks),
	}
	s.byName = s.methods()
	return s
}

// start starts a saga. Once the start is committed, it answers with the saga's status without
// steps.
func (s *service) start(_ context.Context, c call, q *api.StartRequest, answer func(*api.Saga, error)) {
	s.submitStart(c, q, answer, func(r *Result) { answer(outcome(r, false)) })
}

// run starts a saga and waits until it is at rest. It registers the caller right after the commit,
// on the shard's goroutine. So it need not read the saga from the store, unless the saga came to
// rest in the same batch.
func (s *service) run(ctx context.Context, c call, q *api.RunRequest, answer func(*api.Saga, error)) {
	if err := checkTimeout(q.Timeout); err != nil {
		answer(nil, err)
		return
	}
	start := &api.StartRequest{ID: q.ID, Definition: q.Definition, Input: q.Input, InputBinary: q.InputBinary, ContentType: q.ContentType}
	s.submitStart(c, start, answer, func(r *Result) { s.awaitStarted(ctx, c, q, r, answer) })
}

// awaitStarted answers a run with the state of its saga at rest. r is the result of the start.
func (s *service) awaitStarted(ctx context.Context, c call, q *api.RunRequest, r *Result, answer func(*api.Saga, error)) {
	if r.Err != nil || r.Ended != nil || r.Ignored != "" {
		answer(outcome(r, true))
		return
	}
	existed := r.Existed
	end := func(where *api.Saga, err error) {
		if err == nil {
			where.Existed = existed
			where.Input = nil // the caller sent the input itself
		}
		answer(where, err)
	}
	atRest := func(r *Result) {
		if r.Err != nil {
			answer(nil, r.Err)
			return
		}
		end(status(r.Definition, r.Instance, true), nil)
	}
	if r.Instance.Phase.AtRest() {
		atRest(r)
		return
	}
	one, moving := wait(s.c.projection, r.Instance.ID, c.Caller, atRest)
	if one == nil { // there are too many waiters
		atRest(r)
		return
	}
	s.await(ctx, one, moving, &api.WaitRequest{ID: r.Instance.ID, Timeout: q.Timeout, Brief: true}, end)
}

// submitStart submits a request that starts a saga. done gets the result; answer is called instead
// if the request is refused before it is submitted.
func (s *service) submitStart(c call, q *api.StartRequest, answer func(*api.Saga, error), done func(*Result)) {
	id := q.ID
	if id == "" {
		made, err := uuid.NewV7()
		if err != nil {
			answer(nil, fmt.Errorf("generate a random id: %w", err))
			return
		}
		id = contract.SagaID(made.String())
	}
	if err := checkStart(id, q); err != nil {
		answer(nil, err)
		return
	}
	if err := s.admitStart(q.Definition); err != nil {
		answer(nil, err)
		return
	}
	err := s.submit(work{
		input: s.c.stamped(Input{Saga: id, Definition: q.Definition, Event: machine.Event{
			Type: contract.EventStarted, ID: id, Payload: inputData(q),
			ContentType: q.ContentType, TraceParent: s.c.root(id, c.TraceParent),
		}}),
		request: c.Envelope,
		reply:   func(r Result) { done(&r) },
	})
	if err != nil {
		answer(nil, err)
	}
}

// checkStart refuses a start whose data could not be published in commands.
func checkStart(id contract.SagaID, q *api.StartRequest) error {
	if q.Definition.Name == "" {
		return violation("definition", "the start names no definition; give its name, and a version if it is not the newest one, such as checkout or checkout/2 (on NATS in the attribute ce-definition)")
	}
	if err := id.Check(); err != nil {
		return err
	}
	if err := contract.CheckName("definition", q.Definition.Name); err != nil {
		return err
	}
	if err := checkVersion("definition.version", q.Definition.Version); err != nil {
		return err
	}
	if len(q.Input) > 0 && len(q.InputBinary) > 0 {
		return violation("inputBinary", "input is given as well; give one of the two")
	}
	if err := transport.CheckContentType(q.ContentType); err != nil {
		return violation("contentType", err.Error())
	}
	if len(q.Input) > 0 && !contract.IsJSON(q.ContentType) {
		return violation("input", "is for JSON only, but contentType is not a JSON type; give other data in inputBinary")
	}
	return nil
}

// inputData returns the input of a start, whichever field has it.
func inputData(q *api.StartRequest) []byte {
	if len(q.InputBinary) > 0 {
		return q.InputBinary
	}
	return q.Input
}

// checkVersion refuses a version that no definition can have.
func checkVersion(field string, version int) error {
	if version < 0 || version > math.MaxInt32 {
		return violation(field, fmt.Sprintf("is %d; versions count from 1, and 0 is the newest", version))
	}
	return nil
}

// tooMuch returns the error for a start that reached a limit. The retry pacer determines when the
// caller should retry, but not before least has passed.
func (s *service) tooMuch(limit string, least time.Duration, reason string) error {
	now := s.c.config.Clock()
	s.c.startRefused(limit, now)
	return &busyError{s.c.retryPacer.next(now, least), reason}
}

// admitStart returns an error if a saga of a definition may not start now. Limits that all sagas
// share are divided (I13). A participant that does not answer, or whose commands are not accepted,
// may use at most as much capacity as remains free. So only starts that need this participant are
// refused.
func (s *service) admitStart(ref contract.DefinitionRef) error {
	open := s.c.projection.Open()
	if open >= s.c.config.MaxOpen {
		return s.tooMuch(LimitOpen, retryOpen, plural.Of(open, "saga is", "sagas are")+" open, which is the limit (MaxOpen); try again later")
	}
	needed := s.c.definitions.needed(ref)
	if to, over := s.c.relay.OverShare(needed, s.c.config.MaxBacklog); over {
		return s.tooMuch(LimitBacklog, retryBusy, fmt.Sprintf(
			"the commands for %s that wait to be published use up their share of MaxBacklog (%d); try again in a moment", to, s.c.config.MaxBacklog))
	}
	for _, to := range needed {
		if pending := s.pendingFor(to); pending > 0 && pending >= s.c.config.MaxOpen-open {
			return s.tooMuch(LimitOpen, retryOpen, fmt.Sprintf(
				"%s for %s, which uses up its share of MaxOpen (%d); another saga of %s would wait behind them; find out why %s does not answer",
				plural.Of(pending, "saga waits", "sagas wait"), to, s.c.config.MaxOpen, ref.Name, to))
		}
	}
	return nil
}

// pendingFor returns the number of commands that a participant has not answered yet.
func (s *service) pendingFor(to outbox.Destination) int {
	pending, more := s.c.relay.Pending(to)
	if counts := s.c.pending.Load(); more && counts != nil {
		pending = max(pending, (*counts)[to])
	}
	return pending
}

// submit hands a request to its shard without blocking.
func (s *service) submit(w work) error {
	start := w.input.Event.Type == contract.EventStarted
	switch taken, open := s.c.offer(w); {
	case taken && start:
		s.c.retryPacer.admitted()
		return nil
	case taken:
		return nil
	case open && start:
		return s.tooMuch(LimitWaiting, retryBusy, "the coordinator's input queue is full (MaxWaiting); retry after the time the reply gives")
	case open:
		return &busyError{retryBusy, "the coordinator's input queue is full (MaxWaiting); retry in a moment"}
	default:
		return unavailable(errors.New("the coordinator is stopping; try again"))
	}
}

// outcome returns the answer for a committed input, with steps if steps is set.
func outcome(r *Result, steps bool) (*api.Saga, error) {
	switch {
	case r.Err != nil:
		return nil, r.Err
	case r.Ended != nil:
		return stoneStatus(r.Ended, true), nil
	case r.Ignored != "":
		return nil, &ignoredError{r.Ignored}
	}
	where := status(r.Definition, r.Instance, steps)
	where.Existed = r.Existed
	return where, nil
}

// get returns the state of a saga.
func (s *service) get(ctx context.Context, q *api.GetRequest) (*api.GetResponse, error) {
	found, err := s.saga(ctx, q.ID)
	return &api.GetResponse{Saga: found}, err
}

func (s *service) saga(ctx context.Context, id contract.SagaID) (*api.Saga, error) {
	if err := id.Check(); err != nil {
		return nil, err
	}
	in, err := s.c.config.Store.Load(ctx, id)
	if stone, ok := errors.AsType[*store.TombstoneError](err); ok {
		return stoneStatus(stone, false), nil
	}
	if err != nil {
		return nil, err // the error names the saga
	}
	def, err := s.c.definitions.find(in.Definition)
	if err != nil {
		return unexplained(in, err), nil
	}
	return status(def, in, true), nil
}

// wait registers the caller before it reads the saga's state. Otherwise it could miss the end of
// the saga in between.
func (s *service) wait(ctx context.Context, c call, q *api.WaitRequest, answer func(*api.Saga, error)) {
	if err := checkTimeout(q.Timeout); err != nil {
		answer(nil, err)
		return
	}
	one, moving := wait(s.c.projection, q.ID, c.Caller, func(r *Result) { answer(outcome(r, true)) })
	if one == nil {
		if where := s.briefly(q); where != nil {
			answer(where, nil)
			return
		}
		read := call{Envelope: c.Envelope, request: &api.GetRequest{ID: q.ID}}
		s.byName[api.MethodGet].serve(ctx, read, func(found any, err error) {
			if err != nil {
				answer(nil, err)
				return
			}
			response, _ := found.(*api.GetResponse)
			answer(response.Saga, nil)
		})
		return
	}
	s.await(ctx, one, moving, q, answer)
}

// await holds a registered request, or answers it if the saga is at rest. moving means that the
// saga is known not to be at rest. Its state need not be read then: the change that brings it to
// rest notifies the waiter.
func (s *service) await(ctx context.Context, one *projection.Waiter, moving bool, q *api.WaitRequest, answer func(*api.Saga, error)) {
	if moving {
		s.keep(one, q, answer)
		return
	}
	s.look(ctx, q.ID, func(where *api.Saga, err error) {
		if err == nil && !where.AtRest() {
			s.keep(one, q, answer)
			return
		}
		if one.Remove() {
			answer(where, err)
		}
	})
}

// holdFor returns how long a request may be held.
func holdFor(timeout *api.Duration) time.Duration { return min(timeout.Or(DefaultWait), MaxWait) }

// checkTimeout refuses a negative timeout.
func checkTimeout(timeout *api.Duration) error {
	if timeout.Or(0) < 0 {
		return violation("timeout", fmt.Sprintf(`is %s; give "0s" or more, or leave it out`, timeout))
	}
	return nil
}

// keep holds a registered request until it expires, and then answers with the saga's state. It
// answers without details if the request is brief and the saga is known not to be at rest.
func (s *service) keep(one *projection.Waiter, q *api.WaitRequest, answer func(*api.Saga, error)) {
	one.Hold(holdFor(q.Timeout), func() {
		if !one.Remove() {
			return
		}
		if where := s.briefly(q); where != nil {
			answer(where, nil)
			return
		}
		s.look(context.Background(), q.ID, answer)
	})
}

// briefly returns a saga's state without details. It returns nil if the request is not brief, or if
// the saga may be at rest.
func (s *service) briefly(q *api.WaitRequest) *api.Saga {
	if at, moving := s.c.projection.Moving(q.ID); q.Brief && moving {
		return &api.Saga{ID: q.ID, Definition: at.Definition, Phase: at.Phase, Revision: at.Revision}
	}
	return nil
}

// look reads a saga's state on a new goroutine, which waits for a slot. MaxWaiters bounds the
// number of these goroutines.
func (s *service) look(ctx context.Context, id contract.SagaID, then func(*api.Saga, error)) {
	go func() {
		s.looks <- struct{}{}
		defer func() { <-s.looks }()
		then(s.saga(ctx, id))
	}()
}
