package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// phases are the words that a filter may use.
var phases = []contract.Phase{contract.Running, contract.Compensating, contract.Completed, contract.Compensated, contract.Parked}

// filter reads which sagas are meant, and refuses what no saga could ever match:
// a misspelt wish would look like an empty list.
func (s *service) filter(f *transport.Filter) (store.Filter, error) {
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
	if f.Phases != nil && len(f.Phases) == 0 {
		wrong.add("phases", noItems)
	}
	for i, p := range f.Phases {
		if !slices.Contains(phases, p) {
			wrong.add(fmt.Sprintf("phases[%d]", i), fmt.Sprintf("%q is not a phase; use running, compensating, completed, compensated or parked", brief(string(p))))
		}
	}
	if len(f.IDPrefix) > contract.MaxSagaIDLength {
		wrong.add("id_prefix", fmt.Sprintf("has %d characters; ids have at most %d", len(f.IDPrefix), contract.MaxSagaIDLength))
	}
	after, before := wrong.moment("started_after", f.StartedAfter), wrong.moment("started_before", f.StartedBefore)
	updated := wrong.moment("updated_before", f.UpdatedBefore)
	if !after.IsZero() && !before.IsZero() && !after.Before(before) {
		wrong.add("started_before", "is not later than started_after, so nothing can match")
	}
	wrong.state(f)
	return store.Filter{
		Definition: f.Definition, Version: f.Version, Phases: f.Phases, IDPrefix: f.IDPrefix, OpenOnly: f.Open,
		StartedAfter: after, StartedBefore: before,
		Paused: f.Paused, IDs: f.IDs, UpdatedBefore: updated, Reason: f.Reason, Step: f.Step, Participant: f.Participant,
		Plans: s.c.definitions.plan,
	}, wrong.err()
}

// noItems refuses a list that is given and has nothing in it. It is nobody's wish either: no
// saga is one of none, and taken for no list it would be every saga.
const noItems = "has nothing in it, so nothing can match; give one at least, or leave it out"

// moment is a time that is given; zero: none is. Zero times are nobody's wish: taken for
// none they would widen the filter.
func (v *violations) moment(field string, t *time.Time) time.Time {
	switch {
	case t == nil:
		return time.Time{}
	case t.IsZero() || t.Equal(time.Unix(0, 0)):
		v.add(field, fmt.Sprintf("is %s, which is how a time that was never set is read; give a time, or leave it out", t.UTC().Format(time.RFC3339)))
	case t.UTC().Year() < 1 || t.UTC().Year() > 9999:
		v.add(field, "is not between the years 1 and 9999, in UTC")
	}
	return *t
}

// state adds what is wrong with the fields that a saga's state decides.
func (v *violations) state(f *transport.Filter) {
	if f.IDs != nil && len(f.IDs) == 0 {
		v.add("ids", noItems)
	}
	if len(f.IDs) > transport.MaxFilterIDs {
		v.add("ids", fmt.Sprintf("has %d ids; at most %d are looked for", len(f.IDs), transport.MaxFilterIDs))
	} else {
		for i, id := range f.IDs {
			if err := id.Check(); err != nil {
				v.add(fmt.Sprintf("ids[%d]", i), err.Error())
			}
		}
	}
	if len(f.Reason) > transport.MaxFilterReason {
		v.add("reason", fmt.Sprintf("has %d bytes; at most %d are looked for", len(f.Reason), transport.MaxFilterReason))
	}
	if f.Step != "" {
		if err := contract.CheckName("step", string(f.Step)); err != nil {
			v.add("step", err.Error())
		}
	}
	if f.Participant != "" {
		if err := contract.CheckName("participant", f.Participant); err != nil {
			v.add("participant", err.Error())
		}
	}
}

// list is a page of sagas.
func (s *service) list(ctx context.Context, q *transport.ListQuery) (*transport.ListReply, error) {
	if q.Limit < 0 || q.Limit > store.MaxPage {
		return nil, violation("limit", fmt.Sprintf("is %d; use 1 to %d, or 0 for 100", q.Limit, store.MaxPage))
	}
	f, err := s.filter(&q.Filter)
	if err != nil {
		return nil, err
	}
	for limit := q.Limit; ; {
		found, next, err := s.c.config.Store.List(ctx, f, store.Page{Limit: limit, Cursor: q.Cursor})
		if err != nil {
			return nil, err
		}
		reply := &transport.ListReply{Sagas: make([]transport.Status, 0, len(found)), Next: next}
		size := frameRoom
		for i := range found {
			reply.Sagas = append(reply.Sagas, summaryStatus(&found[i]))
			if size += encoded(&reply.Sagas[i]) + 1; size > maxReply {
				break
			}
		}
		if size <= maxReply {
			return reply, nil
		}
		limit = len(reply.Sagas) - 1 // once more, for the cursor behind those that fit
	}
}

func summaryStatus(s *store.Summary) transport.Status {
	one := transport.Status{
		ID: s.ID, Definition: s.Definition, Phase: s.Phase, Revision: s.Revision,
		Started: s.Started, Updated: s.Updated, Ended: s.Ended, Reason: s.Reason, Paused: paused(s.Paused), Problem: problem(s.Damage),
	}
	inList(&one)
	return one
}

// inList cuts the texts of a saga that stands among others.
func inList(s *transport.Status) {
	s.Reason = brief(s.Reason)
	if s.Paused != nil {
		s.Paused.By, s.Paused.Reason = brief(s.Paused.By), brief(s.Paused.Reason)
	}
}

// problem is what is wrong with a record, for a status.
func problem(text string) string { return transport.Cut(text, contract.MaxReason) }
