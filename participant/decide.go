package participant

import "github.com/amends-dev/amends/contract"

// verdict is the decision about a command, based on the recorded entry of its step.
type verdict int

const (
	invoke      verdict = iota // call the handler, and record its answer
	replay                     // send the recorded answer
	acknowledge                // for an undo without a do: record and send completed, without calling the handler
	reject                     // for a do that was undone: send rejected, and record nothing
)

// String returns the verdict's name, for tests and logs.
func (v verdict) String() string {
	return [...]string{"invoke", "replay", "acknowledge", "reject"}[v]
}

// Reasons for rejecting a do that arrives after its undo.
const (
	reasonOvertaken = "the undo of this step came before its do"
	reasonUndone    = "this step has already been undone"
)

// decide implements I5. It is a pure function used with every inbox.
//
// happened is true if the do may have had effects that the entry does not record. Either the
// coordinator knows the do's result and the inbox does not, because the entry was pruned or an
// operator resolved the step. Or the handler has effects outside the transaction (UndoUnrecorded).
// In both cases the undo calls its handler.
//
//	recorded of do │ recorded of undo │ do comes │ undo comes
//	───────────────┼──────────────────┼──────────┼────────────────────────────
//	nothing        │ nothing          │ invoke   │ acknowledge (invoke if happened)
//	completed      │ nothing          │ replay   │ invoke
//	rejected       │ nothing          │ replay   │ acknowledge
//	rejected       │ completed        │ replay   │ replay
//	tombstone      │ completed        │ reject   │ replay
//	completed      │ completed        │ reject   │ replay
func decide(e Entry, d contract.Direction, happened bool) (verdict, Answer) {
	if d == contract.DirectionDo {
		switch {
		case e.Do.Outcome == Tombstone:
			return reject, Answer{Outcome: contract.OutcomeRejected, Reason: reasonOvertaken}
		case e.Do.Outcome == contract.OutcomeCompleted && !e.Undo.None():
			return reject, Answer{Outcome: contract.OutcomeRejected, Reason: reasonUndone}
		case !e.Do.None():
			return replay, e.Do
		}
		return invoke, Answer{}
	}
	switch {
	case !e.Undo.None():
		return replay, e.Undo
	case e.Do.Outcome == contract.OutcomeCompleted, e.Do.None() && happened:
		return invoke, Answer{}
	}
	return acknowledge, Answer{Outcome: contract.OutcomeCompleted}
}

// record returns e with the answer a for the direction d. For an undo without a do, it sets Do to a
// tombstone.
func record(e Entry, d contract.Direction, a Answer) Entry {
	if d == contract.DirectionDo {
		e.Do = a
		return e
	}
	if e.Do.None() {
		e.Do.Outcome = Tombstone
	}
	e.Undo = a
	return e
}
