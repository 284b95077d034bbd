package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
)

// disk is the store as one coordinator's process sees it. Commits survive a crash of the process,
// and the process may crash before and after each call.
type disk struct {
	*memstore.Store
	n *node
}

var _ store.Store = (*disk)(nil)

// Shared implements store.Store.
func (d *disk) Shared() bool { return d.n.w.claims == nil && len(d.n.w.nodes) > 1 }

// Commit implements store.Store.
func (d *disk) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	n, w := d.n, d.n.w
	if w.faulty(Interleaves) {
		for _, other := range w.nodes {
			if other != n && other.serves && !other.frozen && !other.busy && w.now >= other.pausedUntil {
				other.step()
			}
		}
	}
	changes = d.spoil(changes)
	switch {
	case w.faulty(CrashBeforeCommit):
		return nil, errDied
	case w.faulty(CrashTornCommit):
		changes = changes[:w.rng.IntN(len(changes))]
		_, _ = d.commit(ctx, changes) // the process has crashed and does not see the result
		return nil, errDied
	}
	results, err := d.commit(ctx, changes)
	if w.faulty(CrashAfterCommit) {
		return nil, errDied
	}
	return results, err
}

// commit commits without a simulated crash.
func (d *disk) commit(ctx context.Context, changes []store.Change) ([]error, error) {
	w := d.n.w
	if len(changes) == 0 {
		return nil, nil
	}
	if w.bug == BugCommitForgets && w.rng.chance(0.02) {
		d.n.doomed = true // power is lost before the pages are on disk
		d.noteCommits(changes, nil)
		return nil, nil
	}
	results, err := d.Store.Commit(ctx, d.unguarded(changes))
	if err != nil {
		return nil, err
	}
	d.noteCommits(changes, results)
	if w.bug == BugConflictIgnored {
		return nil, nil
	}
	return results, nil
}

// noteCommits records what was committed.
func (d *disk) noteCommits(changes []store.Change, results []error) {
	for i := range changes {
		if c := new(changes[i]); results == nil || results[i] == nil { // copied, because the caller reuses its list
			d.n.moves(c.Instance.ID)
			d.n.record(Record{Kind: Committed, Who: d.n.name, Saga: c.Instance.ID, Run: c.Instance.TraceParent, Revision: c.Instance.Revision, Change: c})
		} else if errors.Is(results[i], store.ErrConflict) {
			d.n.w.coverage[Conflict]++
		}
	}
}

// Due implements store.Store.
func (d *disk) Due(ctx context.Context, now time.Time, limit int) ([]contract.SagaID, time.Time, error) {
	if d.n.recovering && d.n.w.faulty(CrashInRecovery) {
		return nil, time.Time{}, errDied
	}
	ids, next, err := d.Store.Due(ctx, now, limit)
	return d.n.ownTimers(ids), next, err
}

// Pending implements outbox.Ledger.
func (d *disk) Pending(ctx context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error {
	if d.n.recovering && d.n.w.faulty(CrashInRecovery) {
		return errDied
	}
	if d.n.w.bug == BugNothingResent && d.n.life > 1 {
		return nil
	}
	return d.Store.Pending(ctx, to, after, yield)
}

// Discard implements outbox.Ledger.
func (d *disk) Discard(ctx context.Context, ids []outbox.ID) error {
	if d.n.dying {
		return errDied
	}
	for _, id := range ids {
		d.n.record(Record{Kind: Discarded, Who: d.n.name, Saga: id.Saga, Entry: id})
	}
	return d.Store.Discard(ctx, ids)
}

// Publish implements outbox.Publisher. The process may crash between two messages.
func (d *disk) Publish(_ context.Context, batch []transport.Envelope) []error {
	n := d.n
	errs := make([]error, len(batch))
	unsure := n.owns()
	for i := range batch {
		switch {
		case unsure != nil:
			errs[i] = unsure
		case n.dying:
			errs[i] = errDied
		case n.w.faulty(CrashWhileSending):
			n.dying, errs[i] = true, errDied
		default:
			errs[i] = n.send(&batch[i])
		}
	}
	if n.w.bug == BugCommandsDiscardedByBus && !n.dying {
		n.discardAll(batch, errs)
	}
	if n.w.bug == BugRefusalIgnored {
		clear(errs)
	}
	return errs
}
