package simulation

import (
	"context"
	"strconv"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
)

// tx is a transaction of a participant's database.
type tx struct{ commits []func() }

func (t *tx) onCommit(f func()) { t.commits = append(t.commits, f) }

// inbox is a participant's database, which survives crashes. It stores no entries for a participant
// without inbox.
type inbox struct {
	s       *service
	entries map[participant.StepKey]participant.Entry
}

var _ participant.Inbox[*tx] = (*inbox)(nil)

// Update implements participant.Inbox.
func (in *inbox) Update(ctx context.Context, key participant.StepKey, work participant.Work[*tx]) error {
	w := in.s.w
	key = in.key(ctx, key)
	entry := in.entries[key]
	tx := &tx{}
	in.mislead(ctx, &entry)
	next, keep, err := work(ctx, tx, entry)
	if err != nil {
		return err
	}
	if w.bug == BugEffectOutsideTransaction && keep {
		in.commit(tx)
	}
	if w.faulty(ServiceDiesBeforeCommit) {
		in.s.dying = true
		return errDied
	}
	in.s.see(participant.Command(ctx), entry, next)
	if !in.s.weak {
		in.store(key, entry, next)
	}
	if (keep || w.bug == BugRejectionLeavesTrace) && w.bug != BugEffectOutsideTransaction {
		in.commit(tx)
	}
	return nil
}

func (in *inbox) commit(t *tx) {
	for _, f := range t.commits {
		f()
	}
}

// store saves an entry, unless a planted bug prevents it.
func (in *inbox) store(key participant.StepKey, entry, next participant.Entry) {
	switch in.s.w.bug {
	case BugNoInbox:
		return
	case BugNoTombstone:
		if next.Do.Outcome == participant.Tombstone {
			return
		}
	case BugUndoNotRecorded:
		if !entry.Do.None() {
			next.Undo = entry.Undo
		}
	case BugRejectionNotRecorded:
		if next.Do.Outcome == "rejected" {
			return
		}
	}
	in.entries[key] = next
}

// mislead changes a recorded entry as the planted bugs require.
func (in *inbox) mislead(ctx context.Context, entry *participant.Entry) {
	c := participant.Command(ctx)
	switch {
	case c == nil:
	case in.s.w.bug == BugLateDo && c.Direction == contract.DirectionDo && !entry.Undo.None():
		*entry = participant.Entry{}
	case in.s.w.bug == BugUndoOfNothing && c.Direction == contract.DirectionUndo && entry.Do.None() && entry.Undo.None():
		in.s.record(Record{Kind: Undone, Who: in.s.name, Saga: c.Saga, Run: c.TraceParent, Step: c.Step, Direction: c.Direction, Attempt: c.Attempt})
	}
}

// key returns the entry's key, as changed by the planted bug.
func (in *inbox) key(ctx context.Context, key participant.StepKey) participant.StepKey {
	switch in.s.w.bug {
	case BugKeyPerAttempt:
		key.Step += contract.StepName(strconv.Itoa(participant.Command(ctx).Attempt))
	case BugKeyWithoutBirth:
		key.Birth = 0
	case BugKeyWithoutSaga: // also without Birth, because two sagas almost never have the same birth
		key.Saga, key.Birth = "", 0
	case BugKeyWithoutStep:
		key.Step = ""
	}
	return key
}

// Prune implements participant.Inbox. It removes nothing.
func (*inbox) Prune(context.Context, string, time.Time, int) (int, error) { return 0, nil }
