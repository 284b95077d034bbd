package coordinator

import (
	"errors"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// answerAgain is when an answer comes again that could not be taken in now.
const answerAgain = time.Second

// verdict is what becomes of an answer on the bus, once it was taken in.
type verdict struct {
	fate   fate
	class  string // of the dead letter, one of the DeadLetter constants
	reason string // why it is a dead letter, or comes again
}

// fate is what the bus does with a delivery.
type fate string

const (
	fateDone       fate = "done"        // it is done with
	fateAgain      fate = "again"       // it is delivered again, after answerAgain
	fateDeadLetter fate = "dead letter" // it is kept for people
)

// verdictOf is the verdict on an answer of which this came. What the saga had no use for any more,
// such as an answer that came twice, is done with; what shows that somebody is wrong is kept.
func verdictOf(r *Result) verdict {
	switch {
	case errors.Is(r.Err, store.ErrNotFound):
		return verdict{fateDeadLetter, DeadLetterUnknown, r.Err.Error()}
	case blocks(r.Err, contract.EventStepAnswered), errors.Is(r.Err, store.ErrInvalid):
		return verdict{fateDeadLetter, DeadLetterDamaged, r.Err.Error()}
	case r.Err != nil: // not the answer's fault: another coordinator moves the saga again and again
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
