package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// historyPage bounds the events of one history reply; maxReply bounds its bytes.
const historyPage = 1000

// history returns a range of a saga's recorded events.
func (s *service) history(ctx context.Context, q *api.HistoryRequest) (*api.HistoryResponse, error) {
	id := q.ID
	if err := id.Check(); err != nil {
		return nil, err
	}
	if q.Limit < 0 || q.Limit > historyPage {
		return nil, violation("limit", fmt.Sprintf("is %d; use 1 to %d, or 0 for as many as fit", q.Limit, historyPage))
	}
	from, limit := max(q.FromRevision, 1), q.Limit
	if limit == 0 {
		limit = historyPage
	}
	events, err := s.events(ctx, id, from, limit)
	if err != nil {
		return nil, err // the error names the saga
	}
	var before *past
	if q.WithSaga {
		if before, err = s.until(ctx, id, from); err != nil {
			before = &past{lost: err}
		}
	}
	reply := &api.HistoryResponse{Events: make([]api.Event, 0, len(events))}
	size := frameRoom
	for i := range events {
		revision := from + uint64(i)
		event := events[i].shown(revision)
		if before != nil {
			before.move(&event, &events[i])
		}
		if size += encoded(&event) + 1; size > maxReply && i > 0 {
			reply.NextRevision = revision
			return reply, nil
		}
		reply.Events = append(reply.Events, event)
	}
	if len(events) == limit {
		reply.NextRevision = from + uint64(limit)
	}
	return reply, nil
}

// recorded holds one event of a history, or the error of reading it.
type recorded struct {
	event  machine.Event
	damage error
}

// shown returns the event for a reply.
func (r *recorded) shown(revision uint64) api.Event {
	if r.damage != nil {
		return api.Event{Revision: revision, Problem: problem(r.damage.Error())}
	}
	return historyEvent(revision, &r.event)
}

// events reads a range of a history. If part of it is damaged, events reads one event at a time and
// returns those that can be read.
func (s *service) events(ctx context.Context, id contract.SagaID, from uint64, limit int) ([]recorded, error) {
	read, err := s.c.config.Store.History(ctx, id, from, limit)
	events := make([]recorded, 0, len(read))
	for i := range read {
		events = append(events, recorded{event: read[i]})
	}
	if !errors.Is(err, store.ErrCorrupt) {
		return events, err
	}
	whole := 0
	for revision := from; revision < from+uint64(limit); revision++ {
		one, damage := s.c.config.Store.History(ctx, id, revision, 1)
		switch {
		case errors.Is(damage, store.ErrCorrupt):
			events = append(events, recorded{damage: damage})
		case damage != nil:
			return nil, damage
		case len(one) == 0:
			return events, nil
		default:
			events = append(events, recorded{event: one[0]})
			whole++
		}
	}
	if whole == 0 {
		return nil, err
	}
	return events, nil
}

// past is the state of a saga at an earlier revision, replayed from its history alone (I8).
type past struct {
	def    *saga.Definition
	in     machine.Instance
	replay machine.Replay
	lost   error // why the state cannot be replayed beyond this event
}

// until replays a saga's events before the given revision.
func (s *service) until(ctx context.Context, id contract.SagaID, revision uint64) (*past, error) {
	now, err := s.c.config.Store.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	def, err := s.c.definitions.find(now.Definition)
	if err != nil {
		return nil, err
	}
	p := &past{def: def}
	for p.in.Revision+1 < revision {
		limit := min(historyPage, int(revision-1-p.in.Revision))
		events, err := s.c.config.Store.History(ctx, id, p.in.Revision+1, limit)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			return p, nil // the history ends before that revision
		}
		for i := range events {
			if err := p.fold(&events[i]); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *past) fold(ev *machine.Event) error {
	next, eff, err := p.replay.Decide(p.def.Plan(), p.in, *ev)
	if err == nil && eff.Ignored != "" {
		err = errors.New(string(eff.Ignored))
	}
	if err != nil {
		return fmt.Errorf("the history of saga %s cannot be replayed: revision %d: %w", p.in.ID, p.in.Revision+1, err)
	}
	p.in = next
	return nil
}

// move applies one event and adds the resulting state to the reply, or the reason why the state is
// missing.
func (p *past) move(event *api.Event, r *recorded) {
	if p.lost == nil {
		p.lost = r.damage
	}
	if p.lost == nil {
		p.lost = p.fold(&r.event)
	}
	if p.lost != nil {
		if event.Problem == "" {
			event.Problem = problem("the state of the saga after this event is unknown: " + p.lost.Error())
		}
		return
	}
	p.show(event)
}

// show adds the saga's state to an event, shortened so that both fit into one reply.
func (p *past) show(event *api.Event) {
	s := status(p.def, &p.in, true)
	fit(s, maxReply-2*frameRoom-encoded(event))
	event.Saga = s
}
