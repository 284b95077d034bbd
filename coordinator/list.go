package coordinator

import (
	"context"
	"fmt"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// phases are the words that a filter may use.
var phases = []saga.Phase{saga.Running, saga.Compensating, saga.Completed, saga.Compensated, saga.Parked}

// filter reads which sagas are meant, and refuses what no saga could ever match:
// a misspelt wish would look like an empty list.
func filter(f *transport.Filter) (store.Filter, error) {
	var wrong violations
	if f.Definition != "" {
		if err := contract.CheckName("definition", f.Definition); err != nil {
			wrong.add("definition", err.Error())
		}
	}
	switch {
	case f.Version < 0:
		wrong.add("version", fmt.Sprintf("is %d; versions count from 1, and 0 means any", f.Version))
	case f.Version > 0 && f.Definition == "":
		wrong.add("version", "is given without a definition; name the definition too")
	}
	for i, p := range f.Phases {
		if !slices.Contains(phases, p) {
			wrong.add(fmt.Sprintf("phases[%d]", i), fmt.Sprintf("%q is not a phase; use running, compensating, completed, compensated or parked", brief(string(p))))
		}
	}
	if len(f.IDPrefix) > contract.MaxSagaIDLength {
		wrong.add("id_prefix", fmt.Sprintf("has %d characters; ids have at most %d", len(f.IDPrefix), contract.MaxSagaIDLength))
	}
	if !f.StartedAfter.IsZero() && !f.StartedBefore.IsZero() && !f.StartedAfter.Before(f.StartedBefore) {
		wrong.add("started_before", "is not later than started_after, so nothing can match")
	}
	return store.Filter{
		Definition: f.Definition, Version: f.Version, Phases: f.Phases, IDPrefix: f.IDPrefix, OpenOnly: f.Open,
		StartedAfter: f.StartedAfter, StartedBefore: f.StartedBefore,
	}, wrong.err()
}

func (c *Coordinator) apiList(ctx context.Context, request *transport.Envelope) (any, error) {
	var q transport.ListQuery
	if err := strict(request.Data, &q); err != nil {
		return nil, err
	}
	if q.Limit < 0 || q.Limit > store.MaxPage {
		return nil, violation("limit", fmt.Sprintf("is %d; use 1 to %d, or 0 for 100", q.Limit, store.MaxPage))
	}
	f, err := filter(&q.Filter)
	if err != nil {
		return nil, err
	}
	found, next, err := c.config.Store.List(ctx, f, store.Page{Limit: q.Limit, Cursor: q.Cursor})
	if err != nil {
		return nil, err
	}
	reply := transport.ListReply{Sagas: make([]transport.Status, 0, len(found)), Next: next}
	for _, s := range found {
		reply.Sagas = append(reply.Sagas, transport.Status{
			ID: s.ID, Definition: s.Definition, Phase: s.Phase, Revision: s.Revision,
			Started: s.Started, Updated: s.Updated, Ended: s.Ended, Reason: brief(s.Reason),
		})
	}
	return reply, nil
}

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
	reply := transport.HistoryReply{Events: make([]transport.HistoryEvent, 0, len(events))}
	size := 0
	for i := range events {
		revision := from + uint64(i)
		size += len(events[i].Payload)
		if size > maxReply && i > 0 {
			reply.Next = revision
			return reply, nil
		}
		reply.Events = append(reply.Events, historyEvent(revision, &events[i]))
	}
	if len(events) == limit {
		reply.Next = from + uint64(limit)
	}
	return reply, nil
}
