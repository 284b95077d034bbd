package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator/internal/projection"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// phases lists the phases that a filter may name.
var phases = []contract.Phase{contract.Running, contract.Compensating, contract.Completed, contract.Compensated, contract.Parked}

// filter converts a filter for the store. It refuses a filter that no saga can match: a misspelt
// value would otherwise look like an empty list.
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

// noItems is the error for an empty list. No saga can match it, and treating it as absent would
// match every saga.
const noItems = "has nothing in it, so nothing can match; give one at least, or leave it out"

// moment returns the given time, or zero if none is given. It refuses an explicit zero time,
// because treating it as absent would widen the filter.
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

// state checks the filter fields that compare with a saga's state.
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

// list returns a page of sagas.
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
		limit = len(reply.Sagas) - 1 // read again, for the cursor after the sagas that fit
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

// inList shortens the text fields of a saga for a list.
func inList(s *transport.Status) {
	s.Reason = brief(s.Reason)
	if s.Paused != nil {
		s.Paused.By, s.Paused.Reason = brief(s.Paused.By), brief(s.Paused.Reason)
	}
}

// problem cuts the description of a damaged record to the size for a status.
func problem(text string) string { return transport.Cut(text, contract.MaxReason) }

// countPages bounds the pages that one count reads (I10). A count that reaches this bound is only a
// lower bound.
const countPages = 100

// count returns how many sagas match a filter.
func (s *service) count(ctx context.Context, q *transport.Filter) (*transport.CountReply, error) {
	f, err := s.filter(q)
	if err != nil {
		return nil, err
	}
	counts, atLeast, err := s.countSagas(ctx, &f)
	if err != nil {
		return nil, err
	}
	reply := &transport.CountReply{Counts: counts, AtLeast: atLeast}
	for _, n := range counts {
		reply.Total += n.Sagas
	}
	return reply, nil
}

// countSagas counts the matching sagas. It uses the store's own counts if they are sufficient, and
// otherwise counts one by one.
func (s *service) countSagas(ctx context.Context, f *store.Filter) (counts []transport.Count, atLeast bool, err error) {
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
			counts = append(counts, transport.Count(n))
		}
	}
	return counts, false, nil
}

func (s *service) countOneByOne(ctx context.Context, f *store.Filter, pages int) (counts []transport.Count, atLeast bool, err error) {
	type key struct {
		definition contract.DefinitionRef
		phase      contract.Phase
	}
	numbers := map[key]transport.Count{}
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
	slices.SortFunc(counts, func(a, b transport.Count) int {
		return cmp.Or(cmp.Compare(a.Definition.Name, b.Definition.Name), cmp.Compare(a.Definition.Version, b.Definition.Version), cmp.Compare(a.Phase, b.Phase))
	})
	return counts, page.Cursor != "", nil
}

// overview returns a summary of the coordinator.
func (s *service) overview(ctx context.Context, _ *none) (*transport.Overview, error) {
	stats, err := s.c.Stats(ctx)
	if err != nil {
		return nil, err
	}
	o := &transport.Overview{
		At: s.c.config.Clock().UTC(), Version: s.c.config.Version, Open: stats.Open, Blocked: stats.Blocked, BlockedSagas: blockedSagas(s.c.projection.Blocked()),
		Outbox: stats.OutboxBacklog, OutboxOldestSeconds: stats.OutboxOldest.Seconds(),
		CacheHitRatio: projection.Share(int64(stats.CacheHits), int64(stats.CacheHits+stats.CacheMisses)),
		DeadLetters:   -1,
		NATS:          s.c.config.NATS,
		Owner:         s.c.owner(),
	}
	o.Standstills = s.c.Standstills()
	if err := s.c.Ready(ctx); err != nil {
		o.NotReady = err.Error()
	} else {
		o.Ready = true
	}
	for _, n := range stats.Sagas {
		o.Counts = append(o.Counts, transport.Count(n))
		if n.Phase == contract.Parked {
			o.Parked += n.Sagas - n.Ended
		}
	}
	if o.Paused, err = s.c.paused(ctx); err != nil {
		return nil, err
	}
	if load, err := s.c.load(ctx); err == nil {
		if letters, ok := load.Streams[transport.DeadLetters]; ok {
			o.DeadLetters = int64(letters.Messages)
		}
		o.DeadLettersDropped = load.Dropped
	}
	f := s.c.projection.Figures(o.At)
	figures(o, &f)
	return o, nil
}

// figures adds the statistics to an overview.
func figures(o *transport.Overview, f *projection.Figures) {
	o.Since, o.CompensatedShare, o.FailedShare = f.Since.UTC(), f.CompensatedShare, f.FailedShare
	o.Commit = latency(f.Commit)
	for i := range f.Series {
		o.Series = append(o.Series, transport.Second(f.Series[i]))
	}
	o.StartedPerSecond, o.RefusedPerSecond = f.Rates.Started, f.Rates.Refused
	o.EndedPerSecond, o.TransitionsPerSec = f.Rates.Ended, f.Rates.Transitions
	for _, name := range slices.Sorted(maps.Keys(f.Durations)) {
		o.Durations = append(o.Durations, transport.DefinitionLatency{Definition: name, Duration: *latency(f.Durations[name])})
	}
}

func latency(l *projection.Latency) *transport.Latency {
	if l == nil {
		return nil
	}
	out := transport.Latency(*l)
	return &out
}

// maxListed bounds the blocked sagas that an overview names.
const maxListed = 20

// blockedSagas returns the blocked sagas that were found first, at most maxListed.
func blockedSagas(all []projection.Blocked) (out []transport.BlockedSaga) {
	for _, one := range all[:min(len(all), maxListed)] {
		out = append(out, transport.BlockedSaga{Saga: string(one.Saga), Since: one.Since.UTC(), Reason: one.Err.Error()})
	}
	return out
}

// fare adds the statistics of a definition's sagas, and of its steps if steps is set.
func fare(def *saga.Definition, f *projection.DefinitionFigures, reply *transport.DefinitionReply, steps bool) {
	reply.Duration = latency(f.Duration)
	for i := range def.Len() {
		if !steps {
			break
		}
		s := f.Steps[def.Step(i).Name]
		reply.Steps = append(reply.Steps, transport.StepFigures{
			Step: string(def.Step(i).Name), Completed: s.Completed, Rejected: s.Rejected, Failed: s.Failed, Do: latency(s.Do), Undo: latency(s.Undo),
		})
	}
}

// participants returns all participants with their load.
func (s *service) participants(ctx context.Context, _ *none) (*transport.ParticipantsReply, error) {
	load, err := s.c.load(ctx)
	told := err == nil
	if !told {
		if _, ok := s.c.config.Bus.(transport.Scale); ok {
			return nil, unavailable(errNoLoad)
		}
	}
	all := map[string]*transport.ParticipantStatus{}
	of := func(name string) *transport.ParticipantStatus {
		if all[name] == nil {
			all[name] = &transport.ParticipantStatus{Name: name, Unknown: told}
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
		if n := &load.Consumers[i]; n.Stream == transport.Commands {
			p := of(n.Name)
			p.Unknown = n.Asking == 0 && n.Delivered.IsZero() // only the coordinator has used it
			p.Waiting, p.InFlight, p.Redelivered, p.Listening = int64(n.Pending), int64(n.InFlight), int64(n.Redelivered), n.Asking > 0 || s.c.config.Clock().Sub(n.Delivered) < standsAfter
		}
	}
	for name, commands := range load.Commands {
		if p := of(name); p.Unknown { // commands without a subscription
			p.Waiting = int64(commands)
		}
	}
	for _, f := range s.c.projection.Participants() {
		p := of(f.Name)
		p.Answers, p.LastAnswer, p.Latency = f.Answers, f.Last.UTC(), latency(f.Latency)
	}
	reply := &transport.ParticipantsReply{Participants: []transport.ParticipantStatus{}}
	for _, p := range all {
		slices.Sort(p.Actions)
		reply.Participants = append(reply.Participants, *p)
	}
	slices.SortFunc(reply.Participants, func(a, b transport.ParticipantStatus) int { return cmp.Compare(a.Name, b.Name) })
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
