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

// A shard decides for many sagas, one after the other, and a mapping that costs much would
// hold them all up. So a saga that needs one is set aside, and its inputs with it, in their
// order; the others go on; an evaluator works out what the mapping makes; and the saga goes
// on with that, first of all.
//
//	shard ──Costly──▶ setAside ──▶ evaluators ──▶ inbox.comeBack ──▶ shard
//	                  (inputs wait)  (definitions take turns)

// Bounds of what is set aside (I10). What does not fit is refused for now: a request is told
// to come back, the bus delivers an answer again, a timer is looked at again.
const (
	// maxAside bounds the sagas of one coordinator that are set aside, and maxAsideBytes their
	// data. Those of one definition may be as much as is still free. An answer that waits
	// longer than the bus does comes again, and waits behind itself.
	maxAside      = 4096
	maxAsideBytes = 64 << 20
	// maxAsideInputs bounds the inputs that wait for one saga.
	maxAsideInputs = 32
	// asideAgain is when the bus is to deliver an answer again that did not fit.
	asideAgain = time.Second
)

// setAside is a saga whose mappings are evaluated, with what came for it.
type setAside struct {
	saga  contract.SagaID
	works []work
	made  *machine.Requests // once they are
}

// size is how many bytes its inputs hold.
func (a *setAside) size() (bytes int) {
	for i := range a.works {
		bytes += len(a.works[i].input.Event.Payload)
	}
	return bytes
}

// goOn appends the inputs of sagas whose mappings are evaluated, up to the batch's capacity.
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

// wait takes out of a batch what has to wait for a saga that is set aside.
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

// setAside has the mappings of sagas evaluated beside the shard.
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

// putOff refuses an input for now. definition is the one whose mappings are behind; "": many
// inputs wait for one saga.
func (s *shard) putOff(w *work, definition string) {
	switch {
	case w.delivery != nil:
		w.delivery.Nak(asideAgain)
	case w.timer:
		s.c.timekeeper.done(w.input.Saga)
	case w.reply != nil:
		now := s.c.config.Clock()
		busy := &busyError{retryBusy, fmt.Sprintf("saga %s has as many inputs waiting as it may; try again in a moment", w.input.Saga)}
		if definition != "" {
			busy.why = fmt.Sprintf("the mappings of %s cost much, and as many sagas wait for theirs as may; try again when it says so", definition)
		}
		if w.input.Event.Type == contract.EventStarted {
			s.c.startRefused(LimitWaiting, now)
			busy.retry = s.c.retryPacer.next(now, retryBusy)
		}
		w.reply(Result{Err: busy})
	}
	// What is left is the bus's word that it will never take a command: see maxRefusals.
}

// evaluators evaluate costly mappings, beside the shards. Definitions take turns: one whose
// mappings cost much delays its own sagas.
type evaluators struct {
	ready  chan struct{} // one for each evaluation
	most   int           // maxAside, and maxAsideBytes; less in a test
	full   int
	before func() // of a test, before each evaluation; nil: nothing

	mu     sync.Mutex
	queues map[contract.DefinitionRef]*queue
	ring   []*queue // the same, in the order of their turns from next on
	next   int
	total  int
	bytes  int
}

// queue is what waits of one definition.
type queue struct {
	of          contract.DefinitionRef
	evaluations []evaluation
	bytes       int
}

// evaluation is the mappings of one saga that are to be evaluated.
type evaluation struct {
	costly *Costly
	bytes  int
	done   func(*machine.Requests)
}

func newEvaluators() *evaluators {
	return &evaluators{ready: make(chan struct{}, maxAside), most: maxAside, full: maxAsideBytes, queues: map[contract.DefinitionRef]*queue{}}
}

// put adds a saga, with so much data, and reports whether there was room for it.
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
	e.ready <- struct{}{} // there is room: as many as evaluations
	return true
}

// take is the next one.
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

// run evaluates until ctx ends, on half of the processors: the shards have the others.
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

// Size is how many bytes of data the saga has.
func (c *Costly) Size() int { return c.instance.StateBytes }

// Evaluate works out what the saga's mappings make.
func (c *Costly) Evaluate() *machine.Requests {
	return machine.Evaluate(c.def.Plan(), c.instance, c.event)
}
