package simulation

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// caller starts one saga, and is also the saga's operator.
type caller struct {
	w     *world
	id    contract.SagaID
	def   *saga.Definition
	input string
	done  bool // the caller knows whether the start was accepted
	ended bool // the saga was seen to have ended
	again int  // number of times that the id became free and was started again
}

// otherInput is a different input for a start with the same id.
const otherInput = `{"n":2}`

// start repeats the start request until it is answered.
func (c *caller) start() {
	if c.done {
		return
	}
	c.ask(c.input, func(r coordinator.Result) {
		c.done = c.done || r.Err == nil || errors.Is(r.Err, coordinator.ErrIDTaken)
	})
	c.w.after(c.w.rng.span(2*time.Second, 10*time.Second), c.start)
}

// startAgain starts the same id again, sometimes with a different input.
func (c *caller) startAgain() {
	switch {
	case c.w.faulty(StartsAgain):
		c.ask(c.input, func(coordinator.Result) {})
	case c.w.faulty(StartsOther):
		c.ask(otherInput, func(coordinator.Result) {})
	}
}

// ask sends one start and records the answer, if one arrives.
func (c *caller) ask(input string, learn func(coordinator.Result)) {
	w := c.w
	n := w.anyNode()
	w.starts++
	ev := machine.Event{Type: contract.EventStarted, ID: c.id, Payload: []byte(input), TraceParent: fmt.Sprintf("00-%032x-0000000000000001-01", w.starts)}
	c.request(n, coordinator.Input{Saga: c.id, Definition: c.def.Ref(), Event: ev}, func(r coordinator.Result) {
		learn(r)
		if r.Err != nil {
			n.record(Record{Kind: Refused, Who: n.name, Saga: c.id, Note: r.Err.Error()})
			return
		}
		revision, run := uint64(1), ""
		if r.Instance != nil {
			revision, run = r.Instance.Revision, r.Instance.TraceParent
		}
		n.record(Record{Kind: Accepted, Who: n.name, Saga: c.id, Run: run, Revision: revision, Input: input})
	})
}

// request sends a request to a node. The request or its answer may be lost.
func (c *caller) request(n *node, input coordinator.Input, reply func(coordinator.Result)) {
	w := c.w
	if w.faulty(RequestsLost) {
		return
	}
	w.after(time.Millisecond, func() {
		if !n.serves {
			return
		}
		input.Event.At = n.clock()
		answer := func(r coordinator.Result) {
			if !w.faulty(RequestsLost) {
				reply(r)
			}
		}
		if w.bug == BugRepliesFirst && input.Event.Type == contract.EventStarted {
			answer(coordinator.Result{})
			answer = func(coordinator.Result) {}
		}
		if w.bug == BugAnyInput && input.Event.Type == contract.EventStarted {
			honest := answer
			answer = func(r coordinator.Result) {
				if errors.Is(r.Err, coordinator.ErrIDTaken) {
					r.Err = nil
				}
				honest(r)
			}
		}
		n.put(work{input: input, reply: answer})
	})
}

// operate applies an operation to the saga.
func (c *caller) operate(ev machine.Event) {
	c.request(c.w.anyNode(), coordinator.Input{Saga: c.id, Event: ev}, func(coordinator.Result) {})
}

// meddle applies a random operation that is currently legal.
func (c *caller) meddle() {
	in := c.look()
	if in == nil {
		return
	}
	legal := machine.Legal(c.def.Plan(), in)
	if len(legal) == 0 {
		return
	}
	v := pick(c.w.rng, legal)
	ev := machine.Event{Type: contract.EventOperationTaken, Operation: v.Operation, Step: v.Step, By: "kim", Reason: "because"}
	if v.Operation == contract.OperationResolve {
		ev.Outcome = contract.OutcomeCompleted
		if c.w.rng.chance(0.3) {
			ev.Outcome = contract.OutcomeRejected
		}
	}
	c.operate(ev)
}

// look returns the saga's state, or nil if there is none.
func (c *caller) look() *machine.Instance { return c.w.front().look(c.id) }

// repair applies one operation to a paused or parked saga: resume, else the retry of a step, else
// the skip of a step. It reports whether it must be called again.
func (c *caller) repair() bool {
	if c.ended && c.w.claims == nil {
		return !c.done
	}
	in := c.look()
	switch {
	case in == nil:
		return !c.done
	case !in.Open():
		c.ended = true
		return !c.done
	case in.Paused != nil:
		c.operate(machine.Event{Type: contract.EventOperationTaken, Operation: contract.OperationResume, By: "kim", Reason: "repaired"})
		return true
	case in.Phase != contract.PhaseParked:
		return true
	}
	legal := machine.Legal(c.def.Plan(), in)
	for _, operation := range [...]contract.Operation{contract.OperationRetry, contract.OperationSkip} {
		for _, v := range legal {
			if v.Operation == operation {
				c.w.repairs++
				c.operate(machine.Event{Type: contract.EventOperationTaken, Operation: v.Operation, Step: v.Step, By: "kim", Reason: "repaired"})
				return true
			}
		}
	}
	return true
}
