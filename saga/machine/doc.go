// Package machine is how a saga moves: where one run stands (Instance), what happens to it
// (Event), and what follows (Decide).
//
//	           Plan ────────┐
//	                        ▼
//	Instance, Event ──▶ Decide ──▶ Instance, Effects
//
// A Plan is what a definition comes to; package saga makes it, with mappings that the machine
// knows as an interface: whoever needs an Instance compiles no expression language.
//
//	decide.go       Decide, Fold, and where the saga goes once an event has moved a step
//	event.go        Event and Effects: what Decide takes and gives
//	instance.go     Instance: where a run stands, and why it goes back
//	side.go         Side and StepState: where a do or an undo stands, a closed set
//	plan.go         Plan, and Mapping, which package saga implements
//	answer.go       what an answer does to the step that it is of
//	timer.go        what is due, pauses, and a clock that was set
//	operate.go      what operators may decide, and what that does
//	move.go         how a side of a step moves: begun, attempted, parked, closed; the data that it is given
//	backoff.go      how long it waits between attempts
//	evaluate.go     mappings that cost much, evaluated beside the decisions: CostBudget, Requests
//	startdigest.go  StartDigest: whether two starts are the same
//	cause.go        why a saga goes back, in words
//	limit.go        limits of a run
//
// Decide is pure (I6): events carry their time, effects are data, jitter is a hash. It does not
// store, send or wait; package coordinator does. Undo order is not here either: it is package
// compensation.
//
// It keeps I3 and I4 (through compensation), I6, I8 (Fold: folding the recorded events through
// Decide gives the stored instance) and its part of I10 (Limits).
//
// Failure looks like an *OperationError, which says which operations would have been legal; or
// like Effects.Ignored, when an event comes too late, twice or from nowhere.
package machine
