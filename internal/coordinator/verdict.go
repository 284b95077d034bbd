package coordinator

import (
	"errors"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// answerAgain is the delay before the bus redelivers an answer that cannot be processed yet.
const answerAgain = time.Second

// verdict is how an answer is acknowledged on the bus after it was processed.
type verdict struct {
	fate   fate
	class  string // of the dead letter, one of the DeadLetter constants
	reason string // why the answer is dead-lettered or redelivered
}

// fate is one of the ways to complete a delivery.
type fate string

const (
	fateDone       fate = "done"        // acknowledge
	fateAgain      fate = "again"       // redeliver after answerAgain
	fateDeadLetter fate = "dead letter" // keep as a dead letter for an operator
)

// verdictOf returns the verdict for an answer with the given result. An answer that the saga does
// not need any more, such as a repeated one, is acknowledged. An answer that indicates a bug is
// dead-lettered.
func verdictOf(r *Result) verdict {
	switch {
	case errors.Is(r.Err, store.ErrNotFound):
		return verdict{fateDeadLetter, DeadLetterUnknown, r.Err.Error()}
	case blocks(r.Err, contract.EventStepAnswered), errors.Is(r.Err, store.ErrInvalid):
		return verdict{fateDeadLetter, DeadLetterDamaged, r.Err.Error()}
	case r.Err != nil: // another coordinator keeps changing the saga; the answer is valid
		return verdict{fateAgain, "", r.Err.Error()}
	}
	switch r.Ignored {
	case machine.IgnoredSender:
		return verdict{fateDeadLetter, DeadLetterSender, "the answer was published on the subject of a participant that does not own this step"}
	case machine.IgnoredContradiction:
		return verdict{fateDeadLetter, DeadLetterContradiction, "the step was recorded as rejected, but is now reported as completed: its effect remains, and no undo will revert it"}
	case machine.IgnoredStep, machine.IgnoredEarly, machine.IgnoredDirection:
		return verdict{fateDeadLetter, DeadLetterStep, "the saga does not wait for this answer: " + string(r.Ignored)}
	}
	return verdict{fate: fateDone}
}
