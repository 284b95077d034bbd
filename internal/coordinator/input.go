package coordinator

import (
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Input holds one event for one saga.
type Input struct {
	Saga contract.SagaID
	// Event is what happened. A contract.EventTimerFired whose Timer is empty fires all timers that
	// are due at its time.
	Event machine.Event
	// Birth identifies the saga that an answer is for, among the sagas that have used this id; 0 means
	// the current saga.
	Birth contract.Birth
	// Definition is the definition to start (contract.EventStarted); other events do not use it.
	Definition contract.DefinitionRef
	// ClockOffset is the total by which the wall clock had been set when Event.At was read.
	ClockOffset time.Duration
	// Expected is the revision that the saga must have, or else the event is refused; 0 accepts any
	// revision.
	Expected uint64
	// Command is the revision whose commit enqueued the command that the bus refused; 0 for other
	// inputs. A refusal is ignored if the saga no longer awaits the answer to that command. The
	// attempt number cannot identify the command: after an operator's retry, attempts start at 1
	// again.
	Command uint64
}

// Result is the committed outcome of an input, and may be sent to callers.
type Result struct {
	Instance   *machine.Instance // the current state of the saga, read-only; nil if there is none
	Definition *saga.Definition  // the definition of Instance

	// Applied are the events that the input applied, in order: its own event, or the timers that it
	// fired. A clock adjustment precedes them if the saga had not been retimed yet.
	Applied []Applied

	Existed bool                  // for a start: the saga exists already, with the same input
	Ended   *store.TombstoneError // for a start: the saga existed with the same input, ended and was removed
	Ignored machine.Ignored       // why the event changed nothing; "" if it was not ignored
	Err     error                 // why the event was refused; nil if it was not
}

// Output is the result of a Step.
type Output struct {
	Results []Result // one per input, in order
	// Committed are the sagas that were committed.
	Committed []contract.SagaID
	Enqueued  []outbox.Record
	// Answered and Superseded are the records that are no longer pending. Answered ones were
	// answered; superseded ones were replaced by another attempt or are not needed any more.
	Answered, Superseded []outbox.ID
	// Costly are the sagas with undecided inputs, if EvaluateBeside was called: their mappings are
	// too expensive to evaluate in a batch. The Results of these inputs have the error
	// machine.ErrCostly.
	Costly []Costly
	// Contended reports whether another coordinator changed one of the sagas concurrently.
	Contended bool
	// CacheHits and CacheMisses count the reads of sagas that the cache answered, and the others.
	CacheHits, CacheMisses uint64
}

// Costly describes a saga whose mappings must be evaluated before it can continue. Call Evaluate on
// any goroutine, then Engine.Provide, and pass the inputs to the next Step, in the same order and
// before any later input of the saga.
type Costly struct {
	Saga       contract.SagaID
	Definition contract.DefinitionRef
	Inputs     []int // indexes in the batch

	def      *saga.Definition
	instance machine.Instance
	event    machine.Event
}
