package coordinator

import (
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Input is one thing that happened to one saga.
type Input struct {
	Saga contract.SagaID
	// Event is what happened. A contract.EventTimerFired without a Timer fires all timers that are due
	// at its time.
	Event machine.Event
	// Birth is which saga of that id an answer is to; 0: the one that there is.
	Birth contract.Birth
	// Definition is what a start (contract.EventStarted) wants; unused otherwise.
	Definition contract.DefinitionRef
	// Clock is by how much the wall clock by which Event.At was read had been set, in all.
	Clock time.Duration
	// Expected refuses the event when the saga is at another revision; 0: it does not.
	Expected uint64
}

// Result is what became of an input. It may be spoken of outside only because it
// is committed.
type Result struct {
	Instance   *machine.Instance // where the saga stands now; nil when there is none. Read-only
	Definition *saga.Definition  // of Instance

	// Applied are the events that the input applied, in their order: itself, or the timers that
	// it fired; and before that, that the clock was set, if the saga did not know.
	Applied []Applied

	Existed bool                  // of a start: the saga was there, with the same input
	Ended   *store.TombstoneError // of a start: it was there, ended and was removed, with the same input
	Ignored machine.Ignored       // the event changed nothing
	Err     error                 // the event was refused
}

// Output is what a Step makes necessary outside.
type Output struct {
	Results []Result // one per input, in order
	// Committed are the sagas that were committed.
	Committed []contract.SagaID
	Enqueued  []outbox.Record
	// Answered and Superseded are the records that are not pending any more: their answer
	// came, or another attempt takes their place, or none.
	Answered, Superseded []outbox.ID
	// Costly are the sagas of which inputs were not decided, if EvaluateBeside was called:
	// what mappings make for them costs too much to be worked out between others. The
	// results of these inputs have the error machine.ErrCostly.
	Costly []Costly
	// Contended: another coordinator has moved one of the sagas meanwhile.
	Contended bool
}

// Costly is a saga whose mappings have to be evaluated before it can go on. Call Evaluate,
// on any goroutine, then Engine.Provide, and give the inputs to the next Step, in their order
// and before any later ones of the saga.
type Costly struct {
	Saga       contract.SagaID
	Definition contract.DefinitionRef
	Inputs     []int // which of the batch

	def      *saga.Definition
	instance machine.Instance
	event    machine.Event
}
