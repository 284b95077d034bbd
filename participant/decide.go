package participant

import "github.com/amends-dev/amends/contract"

// verdict is what to do about a command, given what is recorded of its step.
type verdict int

const (
	call   verdict = iota // call the handler and record what it answers
	repeat                // answer what is recorded
	settle                // an undo of nothing: record and answer completed without calling the handler
	refuse                // a do that was undone: answer rejected, change nothing
)

// String is the verdict in a word, for tests and logs.
func (v verdict) String() string {
	return [...]string{"call", "repeat", "settle", "refuse"}[v]
}

// Reasons given for a do that comes after its undo.
const (
	reasonOvertaken = "the undo of this step came before its do; the do is refused"
	reasonUndone    = "this step was done and then undone; doing it again is refused"
)

// decide is the whole of I5 in one place, and pure. Every inbox uses it.
//
// happened says that the do may have left something that the entry does not know
// of: the coordinator knows the do's result although the inbox does not (it was
// pruned, or settled by an operator), or the handler's effects lie outside the
// transaction (UndoUnrecorded). Such an undo calls its handler.
//
//	recorded of do │ recorded of undo │ do comes │ undo comes
//	───────────────┼──────────────────┼──────────┼────────────────────────────
//	nothing        │ nothing          │ call     │ settle (call if happened)
//	completed      │ nothing          │ repeat   │ call
//	rejected       │ nothing          │ repeat   │ settle
//	rejected       │ completed        │ repeat   │ repeat
//	tombstone      │ completed        │ refuse   │ repeat
//	completed      │ completed        │ refuse   │ repeat
func decide(e Entry, d contract.Direction, happened bool) (verdict, Answer) {
	if d == contract.DirectionDo {
		switch {
		case e.Do.Outcome == Tombstone:
			return refuse, Answer{Outcome: contract.OutcomeRejected, Reason: reasonOvertaken}
		case e.Do.Outcome == contract.OutcomeCompleted && !e.Undo.None():
			return refuse, Answer{Outcome: contract.OutcomeRejected, Reason: reasonUndone}
		case !e.Do.None():
			return repeat, e.Do
		}
		return call, Answer{}
	}
	switch {
	case !e.Undo.None():
		return repeat, e.Undo
	case e.Do.Outcome == contract.OutcomeCompleted, e.Do.None() && happened:
		return call, Answer{}
	}
	return settle, Answer{Outcome: contract.OutcomeCompleted}
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
