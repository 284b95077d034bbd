package simulation

import (
	"errors"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// CoveragePoint is a rare situation that some code exists for. A batch that never reaches it has
// not tested that code.
type CoveragePoint uint8

// The coverage points.
const (
	Conflict            CoveragePoint = iota // two coordinators changed the same saga concurrently
	Tombstone                                // an undo arrived before its do
	LateDo                                   // a do arrived after its undo and was refused
	RecordedAgain                            // a redelivered command got the recorded answer
	StaleAnswer                              // an answer to an earlier attempt
	SecondAnswer                             // a duplicate answer
	ForeignAnswer                            // an answer from a participant that did not receive the command
	AfterTheEnd                              // an answer to a saga that has ended
	UnknownSaga                              // an answer to a saga that does not exist
	StartedTwice                             // a repeated start of an existing saga
	IDTaken                                  // a start whose id belongs to a different saga
	OperationRefused                         // an operation that was no longer legal
	ParkedAtAll                              // a saga was parked
	TurnedByCancel                           // a saga compensated because of a cancel
	TurnedByTime                             // a saga compensated because of its deadline
	TurnedByUnknown                          // a saga compensated because of an unknown outcome
	OperationCancel                          // an operator's cancel took effect
	OperationRetry                           // an operator's retry took effect
	OperationResolve                         // an operator's resolve took effect
	OperationSkip                            // an operator's skip took effect
	OperationCompensate                      // an operator's compensate took effect
	OperationAbandon                         // an operator's abandon took effect
	OperationPause                           // an operator's pause took effect
	OperationResume                          // an operator's resume took effect
	WritersChanged                           // a saga was changed by a different coordinator than the last time
	EffectTwice                              // a step took effect again, at a participant without inbox
	LongDefinition                           // a saga with the maximum number of steps
	PivotPassed                              // a saga passed its pivot
	IDAgain                                  // a start with the id of a removed saga
	EarlierSaga                              // an answer to an earlier saga with the same id
	SetAside                                 // an input waited for the mappings of its saga
	ClockSet                                 // a coordinator's clock was set, and its sagas were retimed
	TimersHeld                               // timers waited for answers
	Heir                                     // a store became the owner again at once after a crash
	Waited                                   // a store became the owner after two periods of silence
	Freed                                    // a store became the owner of a released prefix
	TookOver                                 // a store took the prefix from another one
	ClaimRefused                             // a store was refused at its start
	Displaced                                // an owner ended because another store had taken over
	Listed                                   // a replaced owner listed its unconfirmed changes
	ClaimedAgain                             // an owner rewrote its claim after the bus had lost it
	AcceptedUnsure                           // an owner accepted a start while its ownership was unconfirmed
	Fenced                                   // the bus refused a command of a replaced owner
	SentLate                                 // after a pause, a replaced owner sent a message that the bus accepted
	OlderClaim                               // an inbox returned a replaced owner's command unexecuted
	coveragePoints
)

var coverageNames = [coveragePoints]string{
	"conflict", "tombstone", "late-do-refused", "answered-from-inbox", "stale-answer", "second-answer",
	"foreign-answer", "answer-after-the-end", "unknown-saga", "started-twice", "id-taken", "operation-refused",
	"parked", "turned-by-cancel", "turned-by-deadline", "turned-by-unknown-outcome",
	"operation-cancel", "operation-retry", "operation-resolve", "operation-skip", "operation-compensate", "operation-abandon", "operation-pause", "operation-resume",
	"two-writers", "effect-twice-without-inbox", "twelve-steps", "pivot-passed",
	"id-again", "answer-to-an-earlier-saga", "set-aside", "clock-set", "timers-held",
	"owner-again-at-once", "owner-after-silence", "owner-after-release", "owner-by-take-over", "claim-refused", "owner-replaced", "replaced-and-listed",
	"claim-made-again", "accepted-unsure", "command-fenced", "sent-late", "handed-back",
}

// String returns the name of the coverage point.
func (s CoveragePoint) String() string { return coverageNames[s] }

// rarity returns the factor by which a coverage point may be rarer than other coverage points.
func (s CoveragePoint) rarity() int {
	switch s {
	case OperationCompensate: // legal only for a parked saga that can still be compensated
		return 20
	case SentLate: // needs a take-over while a process is paused between two lines of code
		return 5
	}
	return 1
}

var ignoredSights = map[machine.Ignored]CoveragePoint{
	machine.IgnoredStale:     StaleAnswer,
	machine.IgnoredDuplicate: SecondAnswer,
	machine.IgnoredSender:    ForeignAnswer,
	machine.IgnoredEnded:     AfterTheEnd,
}

var turnCoverage = map[machine.CauseKind]CoveragePoint{
	machine.CauseCancelled: TurnedByCancel,
	machine.CauseDeadline:  TurnedByTime,
	machine.CauseExhausted: TurnedByUnknown,
}

var operationCoverage = map[contract.Operation]CoveragePoint{
	contract.OperationCancel:     OperationCancel,
	contract.OperationRetry:      OperationRetry,
	contract.OperationResolve:    OperationResolve,
	contract.OperationSkip:       OperationSkip,
	contract.OperationCompensate: OperationCompensate,
	contract.OperationAbandon:    OperationAbandon,
	contract.OperationPause:      OperationPause,
	contract.OperationResume:     OperationResume,
}

// see records the coverage points of an input's result.
func (n *node) see(w *work, r *coordinator.Result) {
	seen := &n.w.coverage
	switch {
	case r.Ignored != "" && w.from != nil:
		if s, ok := ignoredSights[r.Ignored]; ok {
			seen[s]++
		}
	case r.Err != nil:
		var operation *machine.OperationError
		switch {
		case errors.As(r.Err, &operation):
			seen[OperationRefused]++
		case errors.Is(r.Err, coordinator.ErrIDTaken):
			seen[IDTaken]++
		case w.from != nil:
			seen[UnknownSaga]++
			if len(n.volume.audit.runs[w.input.Saga]) > 1 {
				seen[EarlierSaga]++
			}
		}
	case r.Existed:
		seen[StartedTwice]++
	case r.Instance == nil || r.Ignored != "" || len(r.Applied) == 0 || r.Applied[0].Before == r.Instance.Phase:
	case r.Instance.Phase == contract.PhaseParked:
		seen[ParkedAtAll]++
	case r.Applied[0].Before == contract.PhaseRunning && r.Instance.Cause != nil:
		if s, ok := turnCoverage[r.Instance.Cause.Kind]; ok {
			seen[s]++
		}
	}
}

// see records the coverage points of an inbox's answer.
func (s *service) see(c *transport.Envelope, entry, next participant.Entry) {
	seen := &s.w.coverage
	switch {
	case c == nil || s.weak:
	case c.Direction == contract.DirectionUndo && entry.Do.None() && entry.Undo.None() && next.Do.Outcome == participant.Tombstone:
		seen[Tombstone]++
	case c.Direction == contract.DirectionDo && !entry.Undo.None():
		seen[LateDo]++
	case c.Direction == contract.DirectionDo && !entry.Do.None(), c.Direction == contract.DirectionUndo && !entry.Undo.None():
		seen[RecordedAgain]++
	}
}

// see records the coverage points of a commit, before the audit learns it.
func (acc *account) see(r *Record, seen *[coveragePoints]int) {
	for i := range r.Change.Events {
		if ev := &r.Change.Events[i]; ev.Type == contract.EventOperationTaken {
			seen[operationCoverage[ev.Operation]]++
		}
	}
	if acc.last == nil && len(r.Change.Instance.Steps) == maxSteps {
		seen[LongDefinition]++
	}
	if acc.writer != "" && acc.writer != r.Who {
		seen[WritersChanged]++
	}
	for i := range r.Change.Instance.Steps {
		if acc.shape.steps[i].Kind == contract.KindPivot && r.Change.Instance.Steps[i].Status() == contract.StepDone && acc.last != nil && acc.last.Steps[i].Status() != contract.StepDone {
			seen[PivotPassed]++
		}
	}
}
