package participant

import "github.com/amends-dev/amends/contract"

// verdict is what to do about a command, given what is recorded of its step.
type verdict int

const (
	invoke      verdict = iota // call the handler and record what it answers
	replay                     // answer what is recorded
	acknowledge                // an undo of nothing: record and answer completed without calling the handler
	reject                     // a do that was undone: answer rejected, change nothing
)

// String is the verdict in a word, for tests and logs.
func (v verdict) String() string {
	return [...]string{"invoke", "replay", "acknowledge", "reject"}[v]
}

// Reasons given for a do that comes after its undo.
const (
	reasonOvertaken = "the undo of this step came before its do; the do is rejected"
	reasonUndone    = "this step was done and then undone; doing it again is rejected"
)

// decide is the whole of I5 in one place, and pure. Every inbox uses it.
//
// happened says that the do may have left something that the entry does not know
// of: the coordinator knows the do's result although the inbox does not (it was
// pruned, or resolved by an operator), or the handler's effects lie outside the
// transaction (UndoUnrecorded). Such an undo calls its handler.
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

// record is the entry after a direction was answered. An undo that finds no do
// leaves a tombstone in its place.
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
