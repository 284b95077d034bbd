package coordinator

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// A shard decides the inputs of many sagas, one after the other, so an expensive mapping would
// delay all of them. A saga with such a mapping is set aside, with its inputs in order, while the
// other sagas continue. An evaluator computes the result of the mapping. The saga then continues
// with that result, before any waiting input.
//
//	shard ──Costly──▶ setAside ──▶ evaluators ──▶ inbox.comeBack ──▶ shard
//	                  (inputs wait)  (definitions take turns)

// Limits for sagas that are set aside (I10). An input that exceeds a limit is refused: the caller
// of a request is told to retry, the bus redelivers an answer, and a timer is checked again.
const (
	// maxAside bounds the sagas that one coordinator sets aside, and maxAsideBytes their data. One
	// definition may use at most as much of both as remains free. An answer that waits longer than the
	// bus's ack timeout is redelivered; the second delivery is queued after the first.
	maxAside      = 4096
	maxAsideBytes = 64 << 20
	// maxAsideInputs bounds the inputs that wait for one saga.
	maxAsideInputs = 32
	// asideAgain is the delay before the bus redelivers an answer that exceeded a limit.
	asideAgain = time.Second
)

// setAside holds a saga whose mappings are being evaluated, and the inputs that wait for it.
type setAside struct {
	saga  contract.SagaID
	works []work
	made  *machine.Requests // the result of the evaluation; nil until it is done
}

// size returns the total payload size of the waiting inputs, in bytes.
func (a *setAside) size() (bytes int) {
	for i := range a.works {
		bytes += len(a.works[i].input.Event.Payload)
	}
	return bytes
}

// goOn appends the inputs of sagas whose mappings have been evaluated, up to the batch's capacity.
func (s *shard) goOn(batch []work) []work {
	for len(batch) < cap(batch) {
		a := s.inbox.takeBack()
		if a == nil {
			break
		}
		delete(s.aside, a.saga)
		s.waits.Add(-int64(len(a.works)))
		s.engine.Provide(a.saga, a.made)
		batch = append(batch, a.works...)
	}
	return batch
}

// wait removes from a batch the inputs of sagas that are set aside, and queues these inputs.
func (s *shard) wait(batch []work) []work {
	if len(s.aside) == 0 {
		return batch
	}
	left := batch[:0]
	for i := range batch {
		w := batch[i]
		a := s.aside[w.input.Saga]
		switch {
		case a == nil:
			left = append(left, w)
		case len(a.works) < maxAsideInputs:
			a.works = append(a.works, w)
			s.waits.Add(1)
		default:
			s.putOff(&w, "")
		}
	}
	clear(batch[len(left):])
	return left
}

// setAside sends the mappings of sagas to the evaluators.
func (s *shard) setAside(batch []work, costly []Costly) {
	for i := range costly {
		c := &costly[i]
		a := &setAside{saga: c.Saga}
		for _, k := range c.Inputs {
			if len(a.works) < maxAsideInputs {
				a.works = append(a.works, batch[k])
			} else {
				s.putOff(&batch[k], "")
			}
		}
		if !s.c.evaluators.put(c, a.size()+c.Size(), func(made *machine.Requests) { a.made = made; s.inbox.comeBack(a) }) {
			for k := range a.works {
				s.putOff(&a.works[k], c.Definition.String())
			}
			continue
		}
		s.aside[c.Saga] = a
		s.waits.Add(int64(len(a.works)))
		s.inbox.leave()
	}
}

// putOff refuses an input for now. definition names the definition that has too many mappings to
// evaluate; it is empty if too many inputs wait for one saga.
func (s *shard) putOff(w *work, definition string) {
	switch {
	case w.delivery != nil:
		w.delivery.Nak(asideAgain)
	case w.timer:
		s.c.timekeeper.done(w.input.Saga)
	case w.reply != nil:
		now := s.c.config.Clock()
		busy := &busyError{retryBusy, fmt.Sprintf("saga %s has reached the maximum number of waiting inputs; try again in a moment", w.input.Saga)}
		if definition != "" {
			busy.why = fmt.Sprintf("the evaluation queue for costly mappings of %s is full; retry after the time the reply gives", definition)
		}
		if w.input.Event.Type == contract.EventStarted {
			s.c.startRefused(LimitWaiting, now)
			busy.retry = s.c.retryPacer.next(now, retryBusy)
		}
		w.reply(Result{Err: busy})
	}
	// The remaining case is a command that the bus refused: see maxRefusals.
}

// evaluators evaluate expensive mappings outside the shards. Definitions take turns, so that
// expensive mappings delay only sagas of the same definition.
type evaluators struct {
	ready  chan struct{} // one element per waiting evaluation
	most   int           // maxAside, and full is maxAsideBytes; both are less in tests
	full   int
	before func() // called before each evaluation, for tests; may be nil

	mu     sync.Mutex
	queues map[contract.DefinitionRef]*queue
	ring   []*queue // the same queues; next is the index of the queue whose turn is next
	next   int
	total  int
	bytes  int
}

// queue holds the waiting evaluations of one definition.
type queue struct {
	of          contract.DefinitionRef
	evaluations []evaluation
	bytes       int
}

// evaluation holds the mappings of one saga that are to be evaluated.
type evaluation struct {
	costly *Costly
	bytes  int
	done   func(*machine.Requests)
}

func newEvaluators() *evaluators {
	return &evaluators{ready: make(chan struct{}, maxAside), most: maxAside, full: maxAsideBytes, queues: map[contract.DefinitionRef]*queue{}}
}

// put adds a saga whose data has the given size, and reports whether there was room.
func (e *evaluators) put(c *Costly, bytes int, done func(*machine.Requests)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	q := e.queues[c.Definition]
	if q == nil {
		q = &queue{of: c.Definition}
	}
	if e.total >= e.most || len(q.evaluations) > e.most-e.total || q.bytes > e.full-e.bytes {
		return false
	}
	if len(q.evaluations) == 0 {
		e.queues[q.of] = q
		e.ring = append(e.ring, q)
	}
	q.evaluations = append(q.evaluations, evaluation{c, bytes, done})
	q.bytes += bytes
	e.bytes += bytes
	e.total++
	e.ready <- struct{}{} // never blocks: its capacity is the maximum number of evaluations
	return true
}

// take returns the next evaluation.
func (e *evaluators) take() evaluation {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.next >= len(e.ring) {
		e.next = 0
	}
	q := e.ring[e.next]
	one := q.evaluations[0]
	q.evaluations[0] = evaluation{}
	q.evaluations = q.evaluations[1:]
	q.bytes -= one.bytes
	e.bytes -= one.bytes
	e.total--
	if len(q.evaluations) > 0 {
		e.next++
	} else {
		delete(e.queues, q.of)
		e.ring = append(e.ring[:e.next], e.ring[e.next+1:]...)
	}
	return one
}

// run evaluates mappings until ctx ends, on half of the processors; the shards use the other half.
func (e *evaluators) run(ctx context.Context) error {
	var running sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		running.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-e.ready:
					one := e.take()
					if e.before != nil {
						e.before()
					}
					one.done(one.costly.Evaluate())
				}
			}
		})
	}
	running.Wait()
	return nil
}

// Size returns the number of bytes of the saga's data.
func (c *Costly) Size() int { return c.instance.StateBytes }

// Evaluate computes the results of the saga's mappings.
func (c *Costly) Evaluate() *machine.Requests {
	return machine.Evaluate(c.def.Plan(), c.instance, c.event)
}
