package coordinator

import (
	"errors"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// answerAgain is the delay before the bus redelivers an answer that cannot be processed now.
const answerAgain = time.Second

// verdict is what happens to an answer on the bus after it was processed.
type verdict struct {
	fate   fate
	class  string // of the dead letter, one of the DeadLetter constants
	reason string // why it is a dead letter, or is redelivered
}

// fate is what the bus does with a delivery.
type fate string

const (
	fateDone       fate = "done"        // it is acknowledged
	fateAgain      fate = "again"       // it is redelivered after answerAgain
	fateDeadLetter fate = "dead letter" // it is kept for an operator
)

// verdictOf returns the verdict on an answer with this result. An answer that the saga no longer
// needs, such as a repeated one, is acknowledged; one that shows an error is kept.
func verdictOf(r *Result) verdict {
	switch {
	case errors.Is(r.Err, store.ErrNotFound):
		return verdict{fateDeadLetter, DeadLetterUnknown, r.Err.Error()}
	case blocks(r.Err, contract.EventStepAnswered), errors.Is(r.Err, store.ErrInvalid):
		return verdict{fateDeadLetter, DeadLetterDamaged, r.Err.Error()}
	case r.Err != nil: // not the answer's fault: another coordinator keeps moving the saga
		return verdict{fateAgain, "", r.Err.Error()}
	}
	switch r.Ignored {
	case machine.IgnoredSender:
		return verdict{fateDeadLetter, DeadLetterSender, "this step belongs to another participant than the one whose subject the answer came on"}
	case machine.IgnoredContradiction:
		return verdict{fateDeadLetter, DeadLetterContradiction, "the step was rejected before, without a trace, and is now reported as completed: its effect stays, and nobody takes it back"}
	case machine.IgnoredStep, machine.IgnoredEarly, machine.IgnoredDirection:
		return verdict{fateDeadLetter, DeadLetterStep, "the saga does not wait for this answer: " + string(r.Ignored)}
	}
	return verdict{fate: fateDone}
}
