package coordinator

import (
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Input is one event for one saga.
type Input struct {
	Saga contract.SagaID
	// Event is what happened. A contract.EventTimerFired without a Timer fires all timers that are
	// due at its time.
	Event machine.Event
	// Birth says which saga with that id an answer is for; 0: the existing one.
	Birth contract.Birth
	// Definition is the definition that a start (contract.EventStarted) asks for; unused
	// otherwise.
	Definition contract.DefinitionRef
	// ClockOffset is the total by which the wall clock had been set when Event.At was read.
	ClockOffset time.Duration
	// Expected refuses the event if the saga is at another revision; 0: any revision.
	Expected uint64
	// Command is the revision whose commit enqueued the command that the bus refused, if that is
	// what happened; 0 otherwise. A refusal of a command that is no longer awaited is ignored: an
	// operator's retry starts again with attempt 1, which an earlier command had, too.
	Command uint64
}

// Result is the outcome of an input. It may be revealed, because it is committed.
type Result struct {
	Instance   *machine.Instance // the saga now; nil if there is none. Read-only
	Definition *saga.Definition  // the definition of Instance

	// Applied are the events that the input applied, in order: its own, or the timers that it
	// fired, preceded by a clock adjustment if the saga did not have it yet.
	Applied []Applied

	Existed bool                  // of a start: the saga exists, with the same input
	Ended   *store.TombstoneError // of a start: it existed with the same input, ended and was removed
	Ignored machine.Ignored       // the event changed nothing
	Err     error                 // the event was refused
}

// Output is the result of a Step.
type Output struct {
	Results []Result // one per input, in order
	// Committed are the committed sagas.
	Committed []contract.SagaID
	Enqueued  []outbox.Record
	// Answered and Superseded are the records that are no longer pending, because their answer
	// came, or because another attempt replaces them or none is needed.
	Answered, Superseded []outbox.ID
	// Costly are the sagas with undecided inputs, if EvaluateBeside was called: their mappings are
	// too expensive to evaluate in a batch. The results of these inputs have the error
	// machine.ErrCostly.
	Costly []Costly
	// Contended reports that another coordinator moved one of the sagas meanwhile.
	Contended bool
}

// Costly is a saga whose mappings must be evaluated before it can continue. Call Evaluate on any
// goroutine, then Engine.Provide, and pass the inputs to the next Step in order, before any later
// ones of the saga.
type Costly struct {
	Saga       contract.SagaID
	Definition contract.DefinitionRef
	Inputs     []int // indexes in the batch

	def      *saga.Definition
	instance machine.Instance
	event    machine.Event
}
