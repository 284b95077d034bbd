package seam

import (
	"context"
	"time"

	"github.com/amends-dev/amends/participant"
)

// Inbox wraps a participant's inbox.
func Inbox[Tx any](i participant.Inbox[Tx]) participant.Inbox[Tx] { return inbox[Tx]{i} }

type inbox[Tx any] struct{ participant.Inbox[Tx] }

func (i inbox[Tx]) Update(ctx context.Context, key participant.StepKey, work participant.Work[Tx]) error {
	defer around("inbox", "Update")()
	return i.Inbox.Update(ctx, key, func(ctx context.Context, tx Tx, entry participant.Entry) (participant.Entry, bool, error) {
		defer around("inbox", "Work")()
		return work(ctx, tx, entry)
	})
}

func (i inbox[Tx]) Prune(ctx context.Context, name string, before time.Time, limit int) (int, error) {
	defer around("inbox", "Prune")()
	return i.Inbox.Prune(ctx, name, before, limit)
}
