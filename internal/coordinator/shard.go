package coordinator

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator/internal/projection"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// work is one input in a shard, with the callbacks for its result.
type work struct {
	input    Input
	delivery transport.Delivery  // set for an answer from the bus
	reply    func(Result)        // set for a request
	timer    bool                // whether it is a wake-up
	request  *transport.Envelope // set for a request, for the tracer
	class    string              // the class in the inbox; "" selects the participant's class
}

// turn returns the inbox class of the work.
func (w *work) turn() string {
	if w.class != "" {
		return w.class
	}
	return w.input.Event.Participant
}

// shard decides the inputs of its share of the sagas, on one goroutine.
type shard struct {
	c      *Coordinator
	engine *Engine
	part   *projection.Part // the projection's part for this shard's sagas
	inbox  *inbox
	aside  map[contract.SagaID]*setAside // sagas whose mappings are being evaluated
	waits  atomic.Int64                  // number of inputs that are set aside
	busy   atomic.Int64                  // when work on a batch began, in Unix nanoseconds; 0 between batches
}

// run processes batches until the inbox is closed and empty or the store fails. For each batch it
// takes waiting inputs, lingers under load, calls Step, and publishes the results.
func (s *shard) run(ctx context.Context) error {
	batch := make([]work, 0, s.c.config.MaxBatch)
	inputs := make([]Input, 0, s.c.config.MaxBatch)
	for s.inbox.wait() {
		before := len(batch)
		batch = s.linger(s.inbox.take(s.goOn(batch[:0])), before)
		if batch = s.wait(batch); len(batch) == 0 {
			continue
		}
		inputs = inputs[:0]
		for i := range batch {
			inputs = append(inputs, batch[i].input)
		}
		s.busy.Store(s.c.config.Clock().UnixNano())
		began := time.Now()
		out, err := s.engine.Step(ctx, inputs)
		if err != nil {
			return err
		}
		s.count(&out, time.Since(began))
		for i := range batch { // Step has converted the times to the current clock
			batch[i].input.Event.At, batch[i].input.ClockOffset = inputs[i].Event.At, inputs[i].ClockOffset
		}
		if len(out.Costly) > 0 {
			s.setAside(batch, out.Costly)
		}
		s.speak(ctx, batch, &out)
		clear(batch)
		s.busy.Store(0)
	}
	return nil
}

// count counts what a step has read and committed, and how long it took.
func (s *shard) count(out *Output, took time.Duration) {
	s.c.cacheHits.Add(out.CacheHits)
	s.c.cacheMisses.Add(out.CacheMisses)
	if len(out.Committed) > 0 {
		s.part.Committed(took)
		s.c.observer.Committed(len(out.Committed), took)
	}
}

// lingerFrom is the number of inputs in a batch from which on they count as load. Under load, a shard
// waits for more inputs before it commits: a commit costs the disk and the bus about as much with a
// hundred sagas as with ten.
const lingerFrom = 72

// linger takes more inputs into the batch. It stops when the batch is half full, after
// Config.MaxLinger, or when no input has arrived for a third of that time.
func (s *shard) linger(batch []work, before int) []work {
	limit := s.c.config.MaxLinger
	if before < lingerFrom || limit <= 0 {
		return batch
	}
	nothing := limit / 3
	end := time.NewTimer(limit)
	defer end.Stop()
	quiet := time.NewTimer(nothing)
	defer quiet.Stop()
	for len(batch) < cap(batch)/2 {
		select {
		case <-s.inbox.arrived:
			before := len(batch)
			if batch = s.inbox.take(batch); len(batch) == before && s.inbox.ended() {
				return batch
			}
			quiet.Reset(nothing)
		case <-quiet.C:
			return batch
		case <-end.C:
			return batch
		}
	}
	return batch
}

// speak acknowledges, answers and sends everything that is durable now.
func (s *shard) speak(ctx context.Context, batch []work, out *Output) {
	s.c.noteCommitted(out)
	s.c.relay.Drop(out.Answered)
	s.c.relay.Supersede(out.Superseded)
	s.c.relay.Push(out.Enqueued)
	s.project(ctx, batch, out)
	for i := range batch {
		w, r := &batch[i], &out.Results[i]
		for k := range r.Applied {
			s.transition(ctx, w, &r.Applied[k])
		}
		if errors.Is(r.Err, machine.ErrCostly) {
			continue // the saga is set aside
		}
		if r.Ignored != "" {
			s.c.observer.Ignored(r.Ignored)
		}
		if w.delivery != nil {
			s.acknowledge(ctx, w, r)
		}
		if w.reply != nil {
			w.reply(s.answerTo(r))
		}
		if w.timer && !blocks(r.Err, w.input.Event.Type) { // a blocked saga stays pending and is not woken
			s.c.timekeeper.done(w.input.Saga)
		}
		if r.Instance != nil {
			s.c.timekeeper.expect(r.Instance.Wake())
		}
	}
}

// answerTo returns the result of a request for its caller.
func (s *shard) answerTo(r *Result) Result {
	if !errors.Is(r.Err, store.ErrFull) {
		return *r
	}
	return Result{Err: s.c.service.tooMuch(LimitDisk, retryOpen,
		"the coordinator's disk is full, so no saga can be started; sagas in progress continue: free space on the disk of the data directory, and try again")}
}

// project passes the applied events to the projection, which notifies waiters and watchers.
func (s *shard) project(ctx context.Context, batch []work, out *Output) {
	var applied []projection.Change
	for i := range batch {
		w, r := &batch[i], &out.Results[i]
		applied = changes(applied, &w.input, r)
		if !blocks(r.Err, w.input.Event.Type) && !errors.Is(r.Err, store.ErrInvalid) {
			continue
		}
		if s.part.Block(w.input.Saga, r.Err, s.c.config.Clock()) { // log once per saga, or answers fill the log
			s.c.config.Logger.ErrorContext(ctx, "a saga is blocked because its record is damaged or its definition is missing; see docs/RUNBOOK.md#amendssagasblocked",
				LogSaga, string(w.input.Saga), LogError, r.Err.Error())
		}
	}
	if out.Contended {
		s.c.projection.Doubt()
	}
	s.part.Apply(applied)
}

// transition reports an applied event to the observer, the tracer and the log.
func (s *shard) transition(ctx context.Context, w *work, a *Applied) {
	t := transition(a, s.c.config.HideReasons)
	s.c.observer.Transition(t)
	s.trace(w, t)
	logTransition(ctx, s.c.config.Logger, &t)
}

// acknowledge acknowledges or dead-letters a delivery, or lets the bus redeliver it, as verdictOf
// decides.
func (s *shard) acknowledge(ctx context.Context, w *work, r *Result) {
	switch v := verdictOf(r); v.fate {
	case fateDone:
		w.delivery.Ack()
	case fateAgain:
		s.c.limited.Warn("an answer could not be processed; the bus will deliver it again",
			LogSaga, string(w.input.Saga), LogError, v.reason)
		w.delivery.Nak(answerAgain)
	case fateDeadLetter:
		s.c.deadLetter(ctx, w.delivery, v.class, v.reason)
	}
}

// trace reports a transition to the tracer, with the message that caused it.
func (s *shard) trace(w *work, t Transition) {
	if s.c.config.Tracer == nil {
		return
	}
	e := w.request
	if w.delivery != nil {
		e = w.delivery.Envelope()
	}
	if e != nil {
		t.Cause, t.Subject = e.TraceParent, e.Subject
	}
	s.c.config.Tracer.Transition(t)
}
