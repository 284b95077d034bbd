package coordinator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// loadTime bounds how long a request waits for the bus to tell what lies on it.
const loadTime = 3 * time.Second

// load asks the bus what lies on it; errNoLoad: it cannot tell.
func (c *Coordinator) load(ctx context.Context) (transport.Load, error) {
	scale, ok := c.config.Bus.(transport.Scale)
	if !ok {
		return transport.Load{}, errNoLoad
	}
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	return scale.Load(ctx)
}

func (s *service) apiOverview(ctx context.Context, _ *transport.Envelope) (any, error) {
	stats, err := s.c.Stats(ctx)
	if err != nil {
		return nil, err
	}
	o := transport.Overview{
		At: s.c.config.Clock().UTC(), Version: s.c.config.Version, Open: stats.Open, Blocked: stats.Blocked, BlockedSagas: s.c.blocked.list(),
		Outbox: stats.OutboxBacklog, OutboxOldestSeconds: stats.OutboxOldest.Seconds(),
		CacheHitRatio: share(int64(stats.CacheHits), int64(stats.CacheHits+stats.CacheMisses)),
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
	if o.Paused, err = s.c.runStats.paused(ctx, s.c.config.Store); err != nil {
		return nil, err
	}
	if load, err := s.c.load(ctx); err == nil {
		if letters, ok := load.Streams[transport.DeadLetters]; ok {
			o.DeadLetters = int64(letters.Messages)
		}
		o.DeadLettersDropped = load.Dropped
	}
	s.c.runStats.overview(&o)
	return o, nil
}

// overview fills in what is counted.
func (f *runStats) overview(o *transport.Overview) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o.Since = f.since.UTC()
	o.CompensatedShare = share(f.ended-f.completed, f.ended)
	o.FailedShare = share(f.failed, f.answers)
	o.Commit = f.commit.latency()
	now, sum := o.At.Unix(), second{}
	for at := now - seriesSeconds + 1; at <= now; at++ {
		s := f.seconds[uint64(at)%seriesSeconds]
		if s.at != at {
			s = second{}
		}
		o.Series = append(o.Series, transport.Second{
			At: time.Unix(at, 0).UTC(), Started: s.started, Completed: s.completed, Compensated: s.compensated,
			Parked: s.parked, Failed: s.failed, Transitions: s.transitions, Refused: s.refused,
		})
		if at >= now-rateSeconds && at < now { // the present second is not over
			sum.started += s.started
			sum.refused += s.refused
			sum.completed += s.completed + s.compensated
			sum.transitions += s.transitions
		}
	}
	o.StartedPerSecond = float64(sum.started) / rateSeconds
	o.RefusedPerSecond = float64(sum.refused) / rateSeconds
	o.EndedPerSecond = float64(sum.completed) / rateSeconds
	o.TransitionsPerSec = float64(sum.transitions) / rateSeconds
	byName := map[string]*histogram{}
	for ref, d := range f.definitions {
		if byName[ref.Name] == nil {
			byName[ref.Name] = &histogram{}
		}
		byName[ref.Name].merge(&d.duration)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if l := byName[name].latency(); l != nil {
			o.Durations = append(o.Durations, transport.DefinitionLatency{Definition: name, Duration: *l})
		}
	}
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// of fills in how the sagas and steps of a definition fare.
func (f *runStats) of(def *saga.Definition, reply *transport.DefinitionReply, steps bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.definitions[def.Ref()]
	if d == nil {
		d = &definitionStats{}
	}
	reply.Duration = d.duration.latency()
	for i := range def.Len() {
		if !steps {
			break
		}
		one := transport.StepFigures{Step: string(def.Step(i).Name)}
		if s := d.steps[def.Step(i).Name]; s != nil {
			one.Completed, one.Rejected, one.Failed = s.completed, s.rejected, s.failed
			one.Do, one.Undo = s.do.latency(), s.undo.latency()
		}
		reply.Steps = append(reply.Steps, one)
	}
}

func (s *service) apiParticipants(ctx context.Context, _ *transport.Envelope) (any, error) {
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
	s.c.runStats.participantsOf(of)
	reply := transport.ParticipantsReply{Participants: []transport.ParticipantStatus{}}
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

// participantsOf fills in what was counted of each participant.
func (f *runStats) participantsOf(of func(string) *transport.ParticipantStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, n := range f.participants {
		p := of(name)
		p.Answers, p.LastAnswer, p.Latency = n.answers, n.last.UTC(), n.latency.latency()
	}
}
