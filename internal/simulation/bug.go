package simulation

import (
	"fmt"
	"strings"
)

// Bug names a bug that is planted into the simulator's ports to prove that the checker finds it.
// The empty name plants no bug.
type Bug string

// The planted bugs in a coordinator's process.
const (
	BugPublishesFirst         Bug = "publishes-before-commit"
	BugAcksFirst              Bug = "acknowledges-before-commit"
	BugRepliesFirst           Bug = "replies-before-commit"
	BugAnyInput               Bug = "accepts-another-input"
	BugTimersLost             Bug = "timers-lost-on-restart"
	BugNothingResent          Bug = "nothing-resent-after-restart"
	BugCommandsDiscardedByBus Bug = "commands-discarded-by-the-bus"
	BugRefusalIgnored         Bug = "refusal-of-the-bus-ignored"
	BugConflictIgnored        Bug = "conflict-ignored"
	BugUnknownSkipped         Bug = "unknown-taken-for-rejected"
	BugUnknownCompleted       Bug = "unknown-taken-for-completed"
	BugStaleAccepted          Bug = "stale-answer-accepted"
	BugSenderIgnored          Bug = "sender-not-checked"
	BugBirthIgnored           Bug = "birth-not-checked"
	BugUndoesAtOnce           Bug = "undoes-everything-at-once"
	BugUndoesBeyondReturn     Bug = "undoes-beyond-return"
	BugKeepsSending           Bug = "sends-after-the-end"
	BugPushesNothing          Bug = "relay-not-told"
	BugSomeTimersLost         Bug = "some-timers-lost"
	BugDecidesByClock         Bug = "decides-by-the-clock"
	BugForgetsSent            Bug = "forgets-that-it-was-sent"
	BugForgetsAside           Bug = "forgets-what-is-set-aside"
	BugTimersFirst            Bug = "timers-before-answers"
	BugClockIgnored           Bug = "set-clock-ignored"
	BugClockKeptLast          Bug = "set-clock-kept-last"
	BugRetimedTwice           Bug = "retimed-twice"
)

// The planted bugs of the store.
const (
	BugNoCAS         Bug = "no-compare-and-swap"
	BugOutboxApart   Bug = "outbox-not-in-the-commit"
	BugDiscardsEarly Bug = "command-discarded-before-its-answer"
	BugCommitForgets Bug = "commit-without-fsync"
	BugHistoryLost   Bug = "wrong-history"
	BugInputDamaged  Bug = "input-damaged"
	BugNotAnnounced  Bug = "announcement-not-in-the-commit"
	BugOutboxLost    Bug = "outbox-lost-in-a-crash"
)

// The planted bugs of a participant.
const (
	BugNoInbox                  Bug = "no-inbox"
	BugNoTombstone              Bug = "no-tombstone"
	BugUndoNotRecorded          Bug = "undo-not-recorded"
	BugRejectionNotRecorded     Bug = "rejection-not-recorded"
	BugRejectionLeavesTrace     Bug = "rejection-leaves-a-trace"
	BugEffectOutsideTransaction Bug = "effect-outside-the-transaction"
	BugKeyPerAttempt            Bug = "key-per-attempt"
	BugServiceAcksFirst         Bug = "participant-acknowledges-first"
	BugAnswersFirst             Bug = "participant-answers-before-commit"
	BugDoNotDone                Bug = "do-answered-and-not-done"
	BugUndoNotDone              Bug = "undo-answered-and-not-done"
	BugUndoOfNothing            Bug = "undo-of-nothing-takes-effect"
	BugLateDo                   Bug = "late-do-takes-effect"
	BugKeyWithoutBirth          Bug = "key-without-birth"
	BugKeyWithoutSaga           Bug = "key-without-saga"
	BugKeyWithoutStep           Bug = "key-without-step"
)

// The planted bugs of ownership.
const (
	BugResubscribesBlindly Bug = "subscription-made-without-the-claim"
	BugLeaseByWallClock    Bug = "lease-by-the-wall-clock"
	BugClaimsAfterSending  Bug = "claims-after-sending"
	BugInboxIgnoresOwner   Bug = "inbox-ignores-the-owner"
	BugCopyIsOriginal      Bug = "copy-taken-for-the-original"
	BugBothGoOn            Bug = "both-go-on-after-a-wipe"
	BugMovesUnlisted       Bug = "moves-not-listed"
)

// Bugs lists every planted bug with the invariant that must catch it.
var Bugs = []struct {
	Bug       Bug
	Invariant string
}{
	{BugPublishesFirst, "I1"},
	{BugAcksFirst, "I1"},
	{BugRepliesFirst, "I1"},
	{BugAnyInput, "I2"},
	{BugTimersLost, "I2"},
	{BugNothingResent, "I2"},
	{BugCommandsDiscardedByBus, "I2"},
	{BugRefusalIgnored, "I2"},
	{BugConflictIgnored, "I1"},
	{BugUnknownSkipped, "I3"},
	{BugForgetsSent, "I3"},
	{BugForgetsAside, "I2"},
	{BugTimersFirst, "I2"},
	{BugClockIgnored, "I3"},
	{BugClockKeptLast, "I3"},
	{BugRetimedTwice, "I3"},
	{BugUnknownCompleted, "I3"},
	{BugStaleAccepted, "I9"},
	{BugSenderIgnored, "I9"},
	{BugBirthIgnored, "I9"},
	{BugUndoesAtOnce, "I4"},
	{BugUndoesBeyondReturn, "I4"},
	{BugKeepsSending, "I10"},
	{BugPushesNothing, "I2"},
	{BugSomeTimersLost, "I2"},
	{BugDecidesByClock, "I6"},
	{BugNoCAS, "I7"},
	{BugOutboxApart, "I1"},
	{BugDiscardsEarly, "I2"},
	{BugCommitForgets, "I2"},
	{BugHistoryLost, "I8"},
	{BugInputDamaged, "I2"},
	{BugNotAnnounced, "I1"},
	{BugOutboxLost, "I2"},
	{BugNoInbox, "I5"},
	{BugNoTombstone, "I5"},
	{BugUndoNotRecorded, "I5"},
	{BugRejectionNotRecorded, "I3"},
	{BugRejectionLeavesTrace, "I3"},
	{BugEffectOutsideTransaction, "I5"},
	{BugKeyPerAttempt, "I5"},
	{BugServiceAcksFirst, "I1"},
	{BugAnswersFirst, "I3"},
	{BugDoNotDone, "I3"},
	{BugUndoNotDone, "I3"},
	{BugUndoOfNothing, "I5"},
	{BugLateDo, "I5"},
	{BugKeyWithoutBirth, "I3"},
	{BugKeyWithoutSaga, "I3"},
	{BugKeyWithoutStep, "I3"},
	{BugResubscribesBlindly, "I11"},
	{BugLeaseByWallClock, "I11"},
	{BugClaimsAfterSending, "I11"},
	{BugInboxIgnoresOwner, "I11"},
	{BugCopyIsOriginal, "I11"},
	{BugBothGoOn, "I11"},
	{BugMovesUnlisted, "I11"},
}

// ParseBug returns the planted bug with the given name. The empty name means no bug.
func ParseBug(name string) (Bug, error) {
	names := make([]string, 0, len(Bugs))
	for _, planted := range Bugs {
		if string(planted.Bug) == name {
			return planted.Bug, nil
		}
		names = append(names, string(planted.Bug))
	}
	if name == "" {
		return "", nil
	}
	return "", fmt.Errorf("there is no planted bug %q; the planted bugs are %s", name, strings.Join(names, ", "))
}
