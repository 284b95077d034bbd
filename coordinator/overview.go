package coordinator

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator/internal/projection"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// overview is the coordinator at a glance.
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

// figures fills in what is counted.
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

// blockedSagas are the first ones, by the time they were met.
func blockedSagas(all []projection.Blocked) (out []transport.BlockedSaga) {
	for _, one := range all[:min(len(all), maxListed)] {
		out = append(out, transport.BlockedSaga{Saga: string(one.Saga), Since: one.Since.UTC(), Reason: one.Err.Error()})
	}
	return out
}

// fare fills in how the sagas of a definition fare, and its steps.
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

// participants says who answers.
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
			p.Unknown = n.Asking == 0 && n.Delivered.IsZero() // the subscription is made for whoever is expected
			p.Waiting, p.InFlight, p.Redelivered, p.Listening = int64(n.Pending), int64(n.InFlight), int64(n.Redelivered), n.Asking > 0 || s.c.config.Clock().Sub(n.Delivered) < standsAfter
		}
	}
	for name, commands := range load.Commands {
		if p := of(name); p.Unknown { // what lies there for nobody
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

// actions yields both directions of every step.
func actions(def *saga.Definition, yield func(*saga.Action)) {
	for i := range def.Len() {
		step := def.Step(i)
		yield(&step.Do)
		if step.Undo != nil {
			yield(step.Undo)
		}
	}
}
