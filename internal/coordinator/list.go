package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator/internal/projection"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// phases lists the phases that a filter may name.
var phases = []contract.Phase{contract.PhaseRunning, contract.PhaseCompensating, contract.PhaseCompleted, contract.PhaseCompensated, contract.PhaseParked}

// filter converts a filter for the store. It refuses a filter that no saga can match: otherwise a
// misspelt value would return an empty list.
func (s *service) filter(f *api.Filter) (store.Filter, error) {
	var wrong violations
	ref := f.Definition
	if ref.Name != "" {
		if err := contract.CheckName("definition", ref.Name); err != nil {
			wrong.add("filter.definition.name", err.Error())
		}
	}
	switch {
	case ref.Version < 0 || ref.Version > math.MaxInt32:
		wrong.add("filter.definition.version", fmt.Sprintf("is %d; versions count from 1, and 0 means any", ref.Version))
	case ref.Version > 0 && ref.Name == "":
		wrong.add("filter.definition.version", "is given without a name; name the definition too")
	}
	if f.Phases != nil && len(f.Phases) == 0 {
		wrong.add("filter.phases", noItems)
	}
	for i, p := range f.Phases {
		if !slices.Contains(phases, p) {
			wrong.add(fmt.Sprintf("filter.phases[%d]", i), fmt.Sprintf("%q is not a phase; use running, compensating, completed, compensated or parked", brief(string(p))))
		}
	}
	if len(f.IDPrefix) > contract.MaxSagaIDLength {
		wrong.add("filter.idPrefix", fmt.Sprintf("has %d characters; ids have at most %d", len(f.IDPrefix), contract.MaxSagaIDLength))
	}
	after, before := wrong.moment("filter.startedAfter", f.StartedAfter), wrong.moment("filter.startedBefore", f.StartedBefore)
	updated := wrong.moment("filter.updatedBefore", f.UpdatedBefore)
	if !after.IsZero() && !before.IsZero() && !after.Before(before) {
		wrong.add("filter.startedBefore", "is not later than startedAfter, so nothing can match")
	}
	wrong.state(f)
	return store.Filter{
		Definition: ref.Name, Version: ref.Version, Phases: f.Phases, IDPrefix: f.IDPrefix, OpenOnly: f.Open,
		StartedAfter: after, StartedBefore: before,
		Paused: f.Paused, Overdue: f.Overdue, IDs: f.IDs, UpdatedBefore: updated, Reason: f.Reason, Step: f.Step, Participant: f.Participant,
		Plans: s.c.definitions.plan,
	}, wrong.err()
}

// noItems is the error for an empty list. No saga can match it, and treating it as absent would
// match every saga.
const noItems = "is empty, so nothing can match; give at least one value, or leave it out"

// moment returns the given time, or zero if none is given. It refuses an explicit zero time,
// because treating it as absent would widen the filter.
func (v *violations) moment(field string, t *time.Time) time.Time {
	switch {
	case t == nil:
		return time.Time{}
	case t.IsZero() || t.Equal(time.Unix(0, 0)):
		v.add(field, fmt.Sprintf("is %s, the zero time, which means that it is not set; give a time, or leave it out", t.UTC().Format(time.RFC3339)))
	case t.UTC().Year() < 1 || t.UTC().Year() > 9999:
		v.add(field, "is not between the years 1 and 9999, in UTC")
	}
	return *t
}

// state checks the filter fields that compare with a saga's state.
func (v *violations) state(f *api.Filter) {
	if f.IDs != nil && len(f.IDs) == 0 {
		v.add("filter.ids", noItems)
	}
	if len(f.IDs) > api.MaxFilterIDs {
		v.add("filter.ids", fmt.Sprintf("has %d ids; at most %d are allowed", len(f.IDs), api.MaxFilterIDs))
	} else {
		for i, id := range f.IDs {
			if err := id.Check(); err != nil {
				v.add(fmt.Sprintf("filter.ids[%d]", i), err.Error())
			}
		}
	}
	if len(f.Reason) > api.MaxFilterReason {
		v.add("filter.reason", fmt.Sprintf("has %d bytes; at most %d are allowed", len(f.Reason), api.MaxFilterReason))
	}
	if f.Step != "" {
		if err := contract.CheckName("step", string(f.Step)); err != nil {
			v.add("filter.step", err.Error())
		}
	}
	if f.Participant != "" {
		if err := contract.CheckName("participant", f.Participant); err != nil {
			v.add("filter.participant", err.Error())
		}
	}
}

// list returns a page of sagas.
func (s *service) list(ctx context.Context, q *api.ListRequest) (*api.ListResponse, error) {
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
		reply := &api.ListResponse{Sagas: make([]api.Saga, 0, len(found)), NextCursor: next}
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
		limit = len(reply.Sagas) - 1 // read again, for the cursor after the sagas that fit
	}
}

func summaryStatus(s *store.Summary) api.Saga {
	one := api.Saga{
		ID: s.ID, Definition: s.Definition, Phase: s.Phase, Revision: s.Revision,
		Started: s.Started, Updated: s.Updated, Ended: s.Ended, Reason: s.Reason, Paused: paused(s.Paused), Problem: problem(s.Damage),
	}
	inList(&one)
	return one
}

// inList shortens the text fields of a saga for a list.
func inList(s *api.Saga) {
	s.Reason = brief(s.Reason)
	if s.Paused != nil {
		s.Paused.By, s.Paused.Reason = brief(s.Paused.By), brief(s.Paused.Reason)
	}
}

// problem cuts the description of a damaged record to the size for a status.
func problem(text string) string { return contract.Cut(text, contract.MaxReason) }

// countPages limits the pages that one count reads (I10). A count that reaches this limit is only a
// lower bound.
const countPages = 100

// count returns how many sagas match a filter.
func (s *service) count(ctx context.Context, q *api.CountRequest) (*api.CountResponse, error) {
	f, err := s.filter(&q.Filter)
	if err != nil {
		return nil, err
	}
	counts, atLeast, err := s.countSagas(ctx, &f)
	if err != nil {
		return nil, err
	}
	reply := &api.CountResponse{Counts: counts, AtLeast: atLeast}
	for _, n := range counts {
		reply.Total += n.Sagas
	}
	return reply, nil
}

// countSagas counts the matching sagas. It uses the store's own counts if they are sufficient, and
// otherwise counts one by one.
func (s *service) countSagas(ctx context.Context, f *store.Filter) (counts []api.Count, atLeast bool, err error) {
	if f.ByState() || f.IDPrefix != "" || len(f.IDs) > 0 || !f.StartedAfter.IsZero() || !f.StartedBefore.IsZero() {
		return s.countOneByOne(ctx, f, countPages)
	}
	all, err := s.c.config.Store.Counts(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, n := range all {
		if f.OpenOnly {
			n.Sagas, n.Ended = n.Sagas-n.Ended, 0
		}
		if n.Sagas > 0 && f.WantsDefinition(n.Definition) && (len(f.Phases) == 0 || slices.Contains(f.Phases, n.Phase)) {
			counts = append(counts, api.Count(n))
		}
	}
	return counts, false, nil
}

func (s *service) countOneByOne(ctx context.Context, f *store.Filter, pages int) (counts []api.Count, atLeast bool, err error) {
	type key struct {
		definition contract.DefinitionRef
		phase      contract.Phase
	}
	numbers := map[key]api.Count{}
	page := store.Page{Limit: store.MaxPage}
	for range pages {
		found, next, err := s.c.config.Store.List(ctx, *f, page)
		if err != nil {
			return nil, false, err
		}
		for i := range found {
			k := key{found[i].Definition, found[i].Phase}
			n := numbers[k]
			n.Definition, n.Phase = k.definition, k.phase
			n.Sagas++
			if !found[i].Ended.IsZero() {
				n.Ended++
			}
			numbers[k] = n
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	for _, n := range numbers {
		counts = append(counts, n)
	}
	slices.SortFunc(counts, func(a, b api.Count) int {
		return cmp.Or(cmp.Compare(a.Definition.Name, b.Definition.Name), cmp.Compare(a.Definition.Version, b.Definition.Version), cmp.Compare(a.Phase, b.Phase))
	})
	return counts, page.Cursor != "", nil
}

// getOverview returns a summary of the coordinator.
func (s *service) getOverview(ctx context.Context, _ *api.GetOverviewRequest) (*api.GetOverviewResponse, error) {
	o, err := s.overview(ctx)
	return &api.GetOverviewResponse{Overview: o}, err
}

func (s *service) overview(ctx context.Context) (*api.Overview, error) {
	stats, err := s.c.Stats(ctx)
	if err != nil {
		return nil, err
	}
	o := &api.Overview{
		At: s.c.config.Clock().UTC(), Version: s.c.config.Version, Open: stats.Open, Blocked: stats.Blocked, BlockedSagas: blockedSagas(s.c.projection.Blocked()),
		Outbox: stats.OutboxBacklog, OutboxOldestSeconds: stats.OutboxOldest.Seconds(),
		CacheHitRatio: projection.Share(int64(stats.CacheHits), int64(stats.CacheHits+stats.CacheMisses)),
		DeadLetters:   -1,
		NATS:          s.c.config.NATS,
		Owner:         s.c.owner(),
	}
	if s.c.config.StoreStatus != nil {
		o.Store = s.c.config.StoreStatus()
	}
	o.Standstills = s.c.Standstills()
	if err := s.c.Ready(ctx); err != nil {
		o.NotReady = err.Error()
	} else {
		o.Ready = true
	}
	for _, n := range stats.Sagas {
		o.Counts = append(o.Counts, api.Count(n))
		if n.Phase == contract.PhaseParked {
			o.Parked += n.Sagas - n.Ended
		}
	}
	if o.Paused, err = s.c.paused(ctx); err != nil {
		return nil, err
	}
	if load, err := s.c.load(ctx); err == nil {
		if letters, ok := load.Streams[transport.StreamDeadLetters]; ok {
			o.DeadLetters = int(letters.Messages)
		}
		o.DeadLettersDropped = int(load.Dropped)
	}
	f := s.c.projection.Figures(o.At)
	figures(o, &f)
	return o, nil
}

// figures adds the statistics to an overview.
func figures(o *api.Overview, f *projection.Figures) {
	o.Since, o.CompensatedShare, o.FailedShare = f.Since.UTC(), f.CompensatedShare, f.FailedShare
	o.Commit = latency(f.Commit)
	for _, n := range f.Series {
		o.Series = append(o.Series, api.Second{
			At: n.At, Started: int(n.Started), Refused: int(n.Refused), Completed: int(n.Completed), Compensated: int(n.Compensated),
			Parked: int(n.Parked), Failed: int(n.Failed), Transitions: int(n.Transitions),
		})
	}
	o.StartedPerSecond, o.RefusedPerSecond = f.Rates.Started, f.Rates.Refused
	o.EndedPerSecond, o.TransitionsPerSecond = f.Rates.Ended, f.Rates.Transitions
	for _, name := range slices.Sorted(maps.Keys(f.Durations)) {
		o.Durations = append(o.Durations, api.DefinitionLatency{Definition: name, Duration: latency(f.Durations[name])})
	}
}

func latency(l *projection.Latency) *api.Latency {
	if l == nil {
		return nil
	}
	return &api.Latency{Count: int(l.Count), P50Seconds: l.P50, P99Seconds: l.P99}
}

// maxListed bounds the blocked sagas that an overview names.
const maxListed = 20

// blockedSagas returns the blocked sagas that were found first, at most maxListed.
func blockedSagas(all []projection.Blocked) (out []api.BlockedSaga) {
	for _, one := range all[:min(len(all), maxListed)] {
		out = append(out, api.BlockedSaga{ID: one.Saga, Since: one.Since.UTC(), Reason: one.Err.Error()})
	}
	return out
}

// fare adds the statistics of a definition's sagas, and of its steps if steps is set.
func fare(def *saga.Definition, f *projection.DefinitionFigures, reply *api.Definition, steps bool) {
	reply.Duration = latency(f.Duration)
	for i := range def.Len() {
		if !steps {
			break
		}
		s := f.Steps[def.Step(i).Name]
		reply.Steps = append(reply.Steps, api.StepFigures{
			Step: def.Step(i).Name, Completed: int(s.Completed), Rejected: int(s.Rejected), Failed: int(s.Failed), Do: latency(s.Do), Undo: latency(s.Undo),
		})
	}
}

// listParticipants returns all participants with their load.
func (s *service) listParticipants(ctx context.Context, _ *api.ListParticipantsRequest) (*api.ListParticipantsResponse, error) {
	load, err := s.c.load(ctx)
	told := err == nil
	if !told {
		if _, ok := s.c.config.Bus.(transport.Scale); ok {
			return nil, unavailable(errNoLoad)
		}
	}
	all := map[string]*api.Participant{}
	of := func(name string) *api.Participant {
		if all[name] == nil {
			all[name] = &api.Participant{Name: name, Unknown: told}
		}
		return all[name]
	}
	for _, def := range s.c.definitions.all() {
		actions(def, func(a *saga.Action) {
			if p := of(a.Participant); !slices.Contains(p.Actions, a.Action) {
				p.Actions = append(p.Actions, a.Action)
			}
		})
	}
	for i := range load.Consumers {
		if n := &load.Consumers[i]; n.Stream == transport.StreamCommands {
			p := of(n.Name)
			p.Unknown = n.Asking == 0 && n.Delivered.IsZero() // only the coordinator has used this subscription
			p.Waiting, p.InFlight, p.Redelivered, p.Listening = int(n.Pending), n.InFlight, n.Redelivered, n.Asking > 0 || s.c.config.Clock().Sub(n.Delivered) < standsAfter
		}
	}
	for name, commands := range load.Commands {
		if p := of(name); p.Unknown { // commands without a subscription
			p.Waiting = int(commands)
		}
	}
	for _, f := range s.c.projection.Participants() {
		p := of(f.Name)
		p.Answers, p.LastAnswer, p.Latency = int(f.Answers), f.Last.UTC(), latency(f.Latency)
	}
	reply := &api.ListParticipantsResponse{}
	for _, p := range all {
		slices.Sort(p.Actions)
		reply.Participants = append(reply.Participants, *p)
	}
	slices.SortFunc(reply.Participants, func(a, b api.Participant) int { return cmp.Compare(a.Name, b.Name) })
	return reply, nil
}

// actions calls yield with the do and undo of every step.
func actions(def *saga.Definition, yield func(*saga.Action)) {
	for i := range def.Len() {
		step := def.Step(i)
		yield(&step.Do)
		if step.Undo != nil {
			yield(step.Undo)
		}
	}
}
