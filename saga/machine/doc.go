// Package machine executes sagas: from the state of a run (Instance) and an event (Event), Decide
// computes the next state and its effects.
//
//	           Plan ────────┐
//	                        ▼
//	Instance, Event ──▶ Decide ──▶ Instance, Effects
//
// A Plan is the executable form of a definition. Package saga creates it. The machine knows
// mappings only as an interface, so that users of Instance need not compile the expression
// language.
//
//	decide.go       Decide and Fold, and the start of a run
//	ignore.go       which answers and timers change nothing, whatever they say, and why
//	answer.go       how an answer or its absence changes a step, and what turns the saga round
//	request.go      what is requested next, the commands and their data, and the end of a run
//	timer.go        due timers, pauses, and changes of the wall clock
//	operate.go      the operations of operators, and their effect
//	event.go        Event and Effects: input and output of Decide
//	instance.go     Instance: the state of a run, and the cause of its compensation
//	side.go         Side and StepState: the state of a do or an undo, a closed set
//	plan.go         Plan, and Mapping, which package saga implements
//	backoff.go      the wait between attempts
//	evaluate.go     the evaluation of mappings: within a CostBudget, and of costly ones outside the
//	                decisions (Requests). It can be skipped on a first reading, as startdigest.go can
//	startdigest.go  StartDigest: whether two starts are equal
//	cause.go        text for the cause of compensation
//	limit.go        limits of a run
//
// Decide is pure (I6): events carry their time, effects are data, and jitter is a hash. It does not
// store, send or wait; internal/coordinator does. Package compensation determines the order of
// undos.
//
// It keeps I3 and I4 (with compensation, which it tells what may have happened), I6, I8 (Fold:
// folding the recorded events through Decide produces the stored instance) and its part of I10
// (limits of a run).
//
// Decide lists its errors. For a late, duplicate or unexpected answer or timer, Decide returns no
// error, but sets Effects.Ignored.
package machine
