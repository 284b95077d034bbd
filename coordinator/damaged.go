package coordinator

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// removeDamaged puts a tombstone in the place of a saga whose record is damaged: what
// could not be moved, and could not be decided about, stands still no longer.
func (s *service) removeDamaged(ctx context.Context, id contract.SagaID, q *transport.RemoveDamagedRequest) (*transport.Status, error) {
	if err := id.Check(); err != nil {
		return nil, err
	}
	if err := checkRemoval(q); err != nil {
		return nil, err
	}
	removal := store.Removal{At: s.c.config.Clock(), By: transport.Cut(q.By, contract.MaxReason), Reason: transport.Cut(q.Reason, contract.MaxReason)}
	removed, err := s.c.config.Store.RemoveDamaged(ctx, id, removal)
	if err != nil {
		return nil, err
	}
	s.c.relay.Supersede(removed.Discarded)
	s.c.projection.Removed(id, removed.Open)
	s.c.timekeeper.done(id)
	status, err := s.get(ctx, id)
	if err != nil { // it is removed all the same
		status = &transport.Status{ID: id, Phase: contract.Parked, Removed: true, Problem: problem(err.Error()),
			Removal: &transport.Removal{At: removal.At, By: removal.By, Reason: removal.Reason}}
	}
	s.c.config.Logger.Warn("a damaged saga was removed; what its steps have done stays at the participants",
		slog.String(LogSaga, string(id)), slog.String(LogBy, removal.By), slog.String(LogReason, removal.Reason), slog.Int("dropped", len(removed.Discarded)))
	return status, nil
}

// checkRemoval refuses a removal of which nobody could tell later whose and why it was.
func checkRemoval(q *transport.RemoveDamagedRequest) error {
	var wrong violations
	for _, field := range [...]struct{ name, value string }{{"by", q.By}, {"reason", q.Reason}} {
		switch {
		case field.value == "":
			wrong.add(field.name, "is missing: it is kept with what is left of the saga")
		case len(field.value) > contract.MaxReason:
			wrong.add(field.name, fmt.Sprintf("is %d bytes long, at most %d are allowed", len(field.value), contract.MaxReason))
		}
	}
	return wrong.err()
}
