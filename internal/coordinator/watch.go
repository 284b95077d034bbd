package coordinator

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator/internal/projection"
	"github.com/amends-dev/amends/store"
)

// Limits for watch requests (I10).
const (
	// watchSagas bounds the sagas in one watch reply, so that the reply fits however long their
	// reasons are. The rest follows in the next reply.
	watchSagas = 100
	// watchGather is how long a watch waits after the first change, so that a saga that changes
	// several times is reported once.
	watchGather = 20 * time.Millisecond
)

// watcher serves one watch request.
type watcher struct {
	s      *service
	one    contract.SagaID // the watched saga; "" selects the sagas that match filter
	filter store.Filter
	at     projection.Position
}

// poll waits for changes after a position, and answers with them.
func (s *service) poll(ctx context.Context, c call, q *api.PollRequest, answer func(*api.PollResponse, error)) {
	w, err := s.watcher(q)
	if err == nil {
		err = checkTimeout(q.Timeout)
	}
	if err != nil {
		answer(nil, err)
		return
	}
	hold, caller := holdFor(q.Timeout), c.Caller
	if err := admit(s.watches, caller, "requests that watch", "MaxWatches"); err != nil {
		answer(nil, err)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, hold)
		defer cancel()
		reply, err := w.wait(ctx)
		s.watches.Give(caller) // before the answer, because the caller may send the next request at once
		answer(reply, err)
	}()
}

// watcher decodes a poll request.
func (s *service) watcher(q *api.PollRequest) (*watcher, error) {
	f, err := s.filter(&q.Filter)
	if err != nil {
		return nil, err
	}
	w := &watcher{s: s, one: q.ID, filter: f, at: s.c.projection.Position()}
	if w.one != "" {
		if !reflect.ValueOf(q.Filter).IsZero() {
			return nil, violation("filter", "id is given as well; watch one saga, or all that a filter matches")
		}
		if err := w.one.Check(); err != nil {
			return nil, err
		}
		w.filter = store.Filter{IDs: []contract.SagaID{w.one}}
	}
	if q.Position != "" {
		if w.at, err = projection.ParsePosition(q.Position); err != nil {
			return nil, violation("position", "is not a position; give the one from the previous reply, or none to start now")
		}
	}
	return w, err
}

// wait returns the changes after the position. It returns an empty reply if ctx ends before there
// are changes.
func (w *watcher) wait(ctx context.Context) (*api.PollResponse, error) {
	for {
		reply, err := w.look(context.WithoutCancel(ctx))
		if err != nil || reply.Lost || len(reply.Sagas) > 0 {
			return reply, err
		}
		more := w.s.c.projection.After(w.at)
		if more == nil {
			return nil, errStopping
		}
		select {
		case <-ctx.Done():
			return reply, nil
		case <-more:
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchGather):
		}
	}
}

// look returns the changes after the position, and advances the position.
func (w *watcher) look(ctx context.Context) (*api.PollResponse, error) {
	moves, end, foreign := w.s.c.projection.Since(w.at)
	reply := &api.PollResponse{}
	from, read := w.at, uint64(0)
	wanted := map[contract.SagaID]bool{} // the value: whether the saga may have matched the filter before
	var order []contract.SagaID
	for i := range moves {
		m := &moves[i]
		if len(order) == watchSagas {
			end.At = moves[i-1].At // the rest follows in the next reply
			break
		}
		read++
		if !w.filter.WantsDefinition(m.Definition) || !w.filter.WantsStart(m.Started) || !w.filter.WantsID(m.Saga) {
			continue
		}
		reply.Missed += int(m.Missed)
		if _, known := wanted[m.Saga]; known {
			reply.Missed++
		} else {
			order = append(order, m.Saga)
		}
		wanted[m.Saga] = wanted[m.Saga] || w.matched(m.Before)
	}
	if w.at = end; foreign {
		reply.Lost = true
	} else if lost := end.At - from.At - read; lost > 0 { // changes that the feed no longer holds
		reply.Lost, reply.Missed = true, reply.Missed+int(lost)
	}
	if len(order) > 0 {
		w.s.looks <- struct{}{} // wait for a slot
		defer func() { <-w.s.looks }()
	}
	for _, id := range order {
		if err := w.tell(ctx, id, wanted[id], reply); err != nil {
			return nil, err
		}
	}
	reply.Position = w.at.String()
	return reply, nil
}

// matched reports whether a saga in the given phase may have matched the filter. The phase alone
// does not show whether the saga was open, except for phases that only ended sagas have.
func (w *watcher) matched(before contract.Phase) bool {
	for _, class := range store.Classes {
		if class.Phase() == before && w.filter.Wants(class) {
			return true
		}
	}
	return false
}

// tell adds a saga's current state to the reply.
func (w *watcher) tell(ctx context.Context, id contract.SagaID, matched bool, reply *api.PollResponse) error {
	in, err := w.s.c.config.Store.Load(ctx, id)
	switch {
	case errors.Is(err, store.ErrEnded), errors.Is(err, store.ErrNotFound):
		return nil // removed in the meantime
	case errors.Is(err, store.ErrCorrupt):
		reply.Sagas = append(reply.Sagas, api.ChangedSaga{Saga: &api.Saga{ID: id, Problem: problem(err.Error())}})
		return nil
	case err != nil:
		return err
	}
	matches := w.filter.Match(in)
	if !matches && !matched {
		return nil
	}
	def, err := w.s.c.definitions.find(in.Definition)
	var s *api.Saga
	switch {
	case w.one == "":
		s = status(def, in, false)
		inList(s)
	case err != nil:
		s = unexplained(in, err)
	default:
		s = status(def, in, true)
	}
	reply.Sagas = append(reply.Sagas, api.ChangedSaga{Saga: s, Left: !matches})
	return nil
}
