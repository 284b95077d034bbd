package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// historyPage bounds the events in one history reply; maxReply bounds their
// payloads.
const historyPage = 1000

func (c *Coordinator) apiHistory(ctx context.Context, request *transport.Envelope) (any, error) {
	if err := request.Saga.Check(); err != nil {
		return nil, err
	}
	var q transport.HistoryQuery
	if err := strict(request.Data, &q); err != nil {
		return nil, err
	}
	if q.Limit < 0 || q.Limit > historyPage {
		return nil, violation("limit", fmt.Sprintf("is %d; use 1 to %d, or 0 for as many as fit", q.Limit, historyPage))
	}
	from, limit := max(q.From, 1), q.Limit
	if limit == 0 {
		limit = historyPage
	}
	events, err := c.config.Store.History(ctx, request.Saga, from, limit)
	if err != nil {
		return nil, err // names the saga
	}
	var past *past
	if q.WithSaga {
		if past, err = c.until(ctx, request.Saga, from); err != nil {
			return nil, err
		}
	}
	reply := transport.HistoryReply{Events: make([]transport.HistoryEvent, 0, len(events))}
	size := 0
	for i := range events {
		revision := from + uint64(i)
		event := historyEvent(revision, &events[i])
		size += len(events[i].Payload)
		if past != nil {
			n, err := past.move(&event, &events[i])
			if err != nil {
				return nil, err
			}
			size += n
		}
		if size > maxReply && i > 0 {
			reply.Next = revision
			return reply, nil
		}
		reply.Events = append(reply.Events, event)
	}
	if len(events) == limit {
		reply.Next = from + uint64(limit)
	}
	return reply, nil
}

// past is where a saga stood at some time: its history is all that it takes (I8).
type past struct {
	def    *saga.Definition
	in     saga.Instance
	replay saga.Replay
}

// until folds a saga's events before the given revision.
func (c *Coordinator) until(ctx context.Context, id saga.ID, revision uint64) (*past, error) {
	now, err := c.config.Store.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	def, err := c.definitions.find(now.Definition)
	if err != nil {
		return nil, err
	}
	p := &past{def: def}
	for p.in.Revision+1 < revision {
		limit := min(historyPage, int(revision-1-p.in.Revision))
		events, err := c.config.Store.History(ctx, id, p.in.Revision+1, limit)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			return p, nil // the history ends before
		}
		for i := range events {
			if err := p.fold(&events[i]); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *past) fold(ev *saga.Event) error {
	next, eff, err := p.replay.Decide(p.def, p.in, *ev)
	if err == nil && eff.Ignored != "" {
		err = errors.New(string(eff.Ignored))
	}
	if err != nil {
		return fmt.Errorf("the history of saga %s does not give its state: revision %d: %w", p.in.ID, p.in.Revision+1, err)
	}
	p.in = next
	return nil
}

// move folds one event and tells where the saga stood behind it. It returns the
// size of that in bytes.
func (p *past) move(event *transport.HistoryEvent, ev *saga.Event) (int, error) {
	if err := p.fold(ev); err != nil {
		return 0, err
	}
	event.Saga = status(p.def, &p.in, true)
	data, err := json.Marshal(event.Saga)
	return len(data), err
}
