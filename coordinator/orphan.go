package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// orphans says of which keys of a participant's inbox the coordinator does not know
// what the participant did, as after a restore of an older store.
func (s *service) orphans(ctx context.Context, q *transport.OrphansQuery) (*transport.OrphansReply, error) {
	if n := len(q.Keys); n == 0 || n > transport.MaxOrphanKeys {
		return nil, violation("keys", fmt.Sprintf("holds %d; give 1 to %d at once", n, transport.MaxOrphanKeys))
	}
	var wrong violations
	keys := make([]contract.Key, len(q.Keys))
	for i, text := range q.Keys {
		var err error
		if keys[i], err = contract.ParseKey(text); err != nil {
			wrong.add(fmt.Sprintf("keys[%d]", i), err.Error())
		}
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	reply := &transport.OrphansReply{Orphans: []transport.Orphan{}}
	for _, key := range keys {
		orphan, err := s.orphan(ctx, key)
		if err != nil {
			return nil, err
		}
		if orphan != nil {
			orphan.Key, orphan.Started = key.String(), key.Birth.Time()
			reply.Orphans = append(reply.Orphans, *orphan)
		}
	}
	return reply, nil
}

// orphan looks at one key; nil: nobody has to. What was undone leaves nothing behind, so
// that it matters only to a saga that goes on with it.
func (s *service) orphan(ctx context.Context, key contract.Key) (*transport.Orphan, error) {
	in, err := s.c.config.Store.Load(ctx, key.Saga)
	stone, removed := errors.AsType[*store.TombstoneError](err)
	switch {
	case err == nil && in.Birth() != key.Birth:
		return otherSaga(key, in.Phase, in.Started), nil
	case removed && stone.Birth() == 0:
		return left(key, transport.Orphan{Kind: transport.OrphanUnreadable, Phase: stone.Phase, Found: "the saga with this id was damaged and was removed; when it was started is not known"}), nil
	case removed && stone.Birth() != key.Birth:
		return otherSaga(key, stone.Phase, stone.Started), nil
	case removed:
		return nil, nil // it ended, and its steps with it
	case errors.Is(err, store.ErrNotFound):
		return left(key, transport.Orphan{Kind: transport.OrphanUnknownSaga, Found: "there is no saga with this id"}), nil
	case errors.Is(err, store.ErrCorrupt):
		return &transport.Orphan{Kind: transport.OrphanUnreadable, Found: brief(err.Error())}, nil
	case err != nil:
		return nil, err
	}
	def, err := s.c.definitions.find(in.Definition)
	if err != nil {
		return &transport.Orphan{Kind: transport.OrphanUnreadable, Birth: key.Birth, Phase: in.Phase, Found: brief(err.Error())}, nil
	}
	return orphanOf(def, in, key), nil
}

// otherSaga is the orphan of a saga whose id another one has.
func otherSaga(key contract.Key, phase contract.Phase, started time.Time) *transport.Orphan {
	return left(key, transport.Orphan{
		Kind: transport.OrphanOtherSaga, Birth: contract.BirthOf(started), Phase: phase,
		Found: fmt.Sprintf("the saga with this id was started at %s, and is %s", started.UTC().Format(time.RFC3339Nano), phase),
	})
}

// left is the orphan of a saga that is not known, if it left something behind.
func left(key contract.Key, o transport.Orphan) *transport.Orphan {
	if key.Direction == contract.DirectionUndo {
		return nil
	}
	return &o
}

// orphanOf compares what a participant did with what its saga knows of it. A step that is
// asked for, or will be undone, is none: its participant answers what it has recorded.
func orphanOf(def *saga.Definition, in *machine.Instance, key contract.Key) *transport.Orphan {
	o := &transport.Orphan{Birth: key.Birth, Phase: in.Phase}
	for i := range in.Steps {
		if def.Step(i).Name != key.Step {
			continue
		}
		o.Status = stepStatusOf(&in.Steps[i])
		switch status := in.Steps[i].Status(); {
		case key.Direction == contract.DirectionDo && (status == contract.StepPending || status == contract.StepRejected):
			o.Kind, o.Found = transport.OrphanNotDone, fmt.Sprintf("the saga is %s, and the step is %s", in.Phase, o.Status)
		case key.Direction == contract.DirectionUndo && status == contract.StepDone && in.Cause == nil:
			o.Kind, o.Found = transport.OrphanNotUndone, fmt.Sprintf("the saga is %s, and the step is %s and not going to be undone", in.Phase, o.Status)
		default:
			return nil
		}
		return o
	}
	o.Kind, o.Found = transport.OrphanUnknownStep, fmt.Sprintf("the saga follows %s, which has no such step", in.Definition)
	return o
}
