package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/outbox"
)

// Intervals of probes, and how long something must be stuck before it is reported.
const (
	lookEvery = time.Second     // for memory and store
	askEvery  = 5 * time.Second // for the bus; lookEvery applies while a standstill stops everything
	// standsAfter is how long something must be stuck: shorter waits are normal.
	standsAfter = 10 * time.Second
	// hangsAfter is how long the bus or the store may take to answer a probe.
	hangsAfter = 10 * time.Second
	// lateAfter is how late a timer may be before it is reported.
	lateAfter = 30 * time.Second
	// saidEvery is the interval at which the log repeats an ongoing standstill.
	saidEvery = 5 * time.Minute
)

// monitor maintains the table of standstills (docs/OPERATING.md). Readiness, log, metrics, overview
// and doctor read that table. Every probe runs on its own goroutine, so a bus or a store that hangs
// does not hide other standstills. The hang itself is reported too.
type monitor struct {
	c      *Coordinator
	probes []*probe

	mu    sync.Mutex
	table []api.Standstill // oldest first
	known map[place]*standing

	saidWrong atomic.Bool // whether the bus reported an error on the last check

	// Used by the probe of the bus's load.
	pace   map[subscription]*pace
	gone   time.Time // since when the coordinator's consumer has been missing; zero if it exists
	untold int       // number of consecutive failures to get the bus's load
}

// place identifies what is stuck, across checks.
type place struct {
	kind   api.StandstillKind
	object string
}

// standing records since when something has been stuck, and when the log last reported it.
type standing struct {
	since, said time.Time
	shown       bool
}

// probe describes a periodic check.
type probe struct {
	kind  api.StandstillKind
	every time.Duration
	look  func(context.Context) ([]api.Standstill, error)

	mu    sync.Mutex
	began time.Time // when the current check began; zero if none is running
	ran   bool      // whether at least one check has finished
	found []api.Standstill
}

func newMonitor(c *Coordinator) *monitor {
	m := &monitor{c: c, known: map[place]*standing{}, pace: map[subscription]*pace{}}
	m.probes = []*probe{
		{kind: api.StandstillBus, every: askEvery, look: m.bus},
		{kind: api.StandstillBus, every: askEvery, look: m.lies},
		{kind: api.StandstillStore, every: lookEvery, look: m.store},
		{kind: api.StandstillShard, every: lookEvery, look: m.memory},
	}
	return m
}

// loops returns the functions that run the probes until their context ends, each to be run on its
// own goroutine.
func (m *monitor) loops() []func(context.Context) error {
	loops := []func(context.Context) error{func(ctx context.Context) error {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			m.gather(ctx)
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}}
	for _, p := range m.probes {
		loops = append(loops, func(ctx context.Context) error { return m.run(ctx, p) })
	}
	return loops
}

func (m *monitor) run(ctx context.Context, p *probe) error {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		p.mu.Lock()
		p.began = m.c.config.Clock()
		p.mu.Unlock()
		found, err := p.look(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		p.mu.Lock()
		first := !p.ran
		p.found, p.began, p.ran = found, time.Time{}, true
		p.mu.Unlock()
		if first {
			m.gather(ctx)
		}
		wait := p.every
		if slices.ContainsFunc(found, func(one api.Standstill) bool { return one.Stops }) {
			wait = lookEvery // check often, so that work resumes soon
		}
		next.Reset(wait)
	}
}

// seen returns the findings of a probe. If the probe itself hangs, that is a finding too.
func (p *probe) seen(now time.Time) (found []api.Standstill, ran bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ran = slices.Clone(p.found), p.ran
	if took := now.Sub(p.began); !p.began.IsZero() && took > hangsAfter {
		found = append(found, api.Standstill{
			Kind: p.kind, Since: p.began, Stops: true, Reason: fmt.Sprintf("has not answered for %s", took.Round(time.Second)),
			Fix: "check its disk and its network; a restart of the coordinator is safe",
		})
	}
	return found, ran
}

// gather builds the table from the findings of the probes.
func (m *monitor) gather(ctx context.Context) {
	for _, say := range m.tabulate(m.c.config.Clock()) { // log after unlocking the table
		say(ctx)
	}
	m.c.noteReady()
}

// tabulate builds the table, and returns the log lines that are due.
func (m *monitor) tabulate(now time.Time) (lines []func(context.Context)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []api.Standstill
	for _, p := range m.probes {
		found, _ := p.seen(now)
		all = append(all, found...)
	}
	there := map[place]bool{}
	m.table = m.table[:0:0]
	for i := range all {
		one := &all[i]
		at := place{one.Kind, one.Object}
		if there[at] {
			continue
		}
		there[at] = true
		s := m.known[at]
		if s == nil {
			s = &standing{since: now}
			m.known[at] = s
		}
		if !one.Since.IsZero() {
			s.since = one.Since
		}
		one.Since = s.since
		// A standstill that stops everything is reported at once: its probe has already waited.
		if s.shown = s.shown || one.Stops || now.Sub(s.since) >= standsAfter; s.shown {
			m.table = append(m.table, *one)
			if s.said.IsZero() || now.Sub(s.said) >= saidEvery {
				s.said = now
				lines = append(lines, func(ctx context.Context) { m.say(ctx, one) })
			}
		}
	}
	for at, s := range m.known {
		if !there[at] {
			delete(m.known, at)
			if s.shown {
				lines = append(lines, func(ctx context.Context) {
					m.c.config.Logger.InfoContext(ctx, "standstill over", LogKind, string(at.kind), LogObject, at.object, "for", now.Sub(s.since).Round(time.Second))
				})
			}
		}
	}
	slices.SortFunc(m.table, func(a, b api.Standstill) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Object, b.Object))
	})
	return lines
}

func (m *monitor) say(ctx context.Context, one *api.Standstill) {
	m.c.config.Logger.WarnContext(ctx, "standstill", LogKind, string(one.Kind), LogObject, one.Object, "since", one.Since.UTC(),
		LogReason, one.Reason, "fix", one.Fix, "stops", one.Stops)
}

// forget clears the times since when things have been stuck, because the clock that they were read
// from has been set.
func (m *monitor) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.known)
}

func (m *monitor) current() []api.Standstill {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.table)
}

// ready returns why no saga can make progress now, or nil if sagas can.
func (m *monitor) ready() error {
	for _, p := range m.probes {
		if _, ran := p.seen(m.c.config.Clock()); !ran {
			return errors.New("starting: checking the store and the bus")
		}
	}
	for _, one := range m.current() {
		if one.Stops {
			return errors.New(one.String())
		}
	}
	return nil
}

// memory checks everything that is known without querying the store or the bus.
func (m *monitor) memory(context.Context) (found []api.Standstill, err error) {
	now := m.c.config.Clock()
	for i, s := range m.c.shards {
		since := s.busy.Load()
		if took := now.Sub(time.Unix(0, since)); since != 0 && took > standsAfter {
			found = append(found, api.Standstill{
				Kind: api.StandstillShard, Object: fmt.Sprint(i + 1), Since: time.Unix(0, since), Stops: true,
				Reason: fmt.Sprintf("has been processing one batch for %s; %s", took.Round(time.Second), plural.Of(s.inbox.len(), "input waits", "inputs wait")),
				Fix:    "check the disk of the data directory first (iostat); a restart is safe",
			})
		}
	}
	if since := m.c.handing.Load(); since != 0 && now.Sub(time.Unix(0, since)) > standsAfter {
		found = append(found, api.Standstill{
			Kind: api.StandstillShard, Object: fmt.Sprint(m.c.handingTo.Load() + 1), Since: time.Unix(0, since), Stops: true,
			Reason: fmt.Sprintf("has had a full input queue for %s, so that the answers for all shards wait", now.Sub(time.Unix(0, since)).Round(time.Second)),
			Fix:    "check the disk of the data directory first (iostat), and whether the coordinator gets enough processor time; a restart is safe",
		})
	}
	// Use only the list: the number of blocked sagas may have changed since.
	if list := m.c.projection.Blocked(); len(list) > 0 {
		found = append(found, api.Standstill{
			Kind: api.StandstillSagas, Since: list[0].Since, Reason: fmt.Sprintf("%d cannot continue: their record is damaged, or their definition is missing", len(list)),
			Fix: "the console's overview lists them; see docs/RUNBOOK.md (AmendsSagasBlocked)",
		})
	}
	return append(append(append(found, m.retention()...), m.ownership()...), m.relay()...), nil
}

// retention reports a standstill while retention is paused.
func (m *monitor) retention() []api.Standstill {
	left, step, since := m.c.timing.holds()
	if left == 0 {
		return nil
	}
	by := "was set"
	if step != 0 {
		by += " by " + step.String()
	}
	return []api.Standstill{{
		Kind: api.StandstillRetention, Since: since,
		Reason: fmt.Sprintf("the clock %s; ended sagas are not removed for another %s", by, left.Round(time.Minute)),
		Fix:    "check that the clock is now correct; retention resumes by itself, or at once after a restart with --accept-clock",
	}}
}

// relay checks the outgoing messages.
func (m *monitor) relay() (found []api.Standstill) {
	lines := m.c.relay.Queues()
	stops := m.refusesAll(lines)
	for i := range lines {
		l := &lines[i]
		waiting := fmt.Sprint(l.Waiting)
		if l.MoreInLedger {
			waiting = "more than " + waiting
		}
		switch {
		case l.To == outbox.Lifecycle && l.Problem != nil:
			found = append(found, api.Standstill{
				Kind: api.StandstillLifecycle, Since: l.Since, Reason: fmt.Sprintf("the bus does not accept announcements (waiting: %s): %v", waiting, l.Problem),
				Fix: "sagas continue; check the lifecycle stream and its disk (nats stream info)",
			})
		case l.Problem != nil:
			found = append(found, api.Standstill{
				Kind: api.StandstillCommands, Object: l.To.String(), Since: l.Since, Stops: stops,
				Reason: fmt.Sprintf("the bus does not accept these commands (waiting: %s): %v", waiting, l.Problem),
				Fix:    "check the stream of commands: its limits, its disk, and the coordinator's permissions (nats stream info; coordinator doctor)",
			})
		case l.Full:
			found = append(found, api.Standstill{
				Kind: api.StandstillParticipant, Object: l.To.String(),
				Reason: fmt.Sprintf("%s (%d KiB) unanswered on the bus, the limit of one participant; further commands waiting in the coordinator: %s", plural.Of(l.OnBus, "command", "commands"), l.Bytes>>10, waiting),
				Fix:    "start the service, or more instances of it; waiting commands are sent when it answers",
			})
		}
	}
	return found
}

// refusesAll reports whether the bus refuses all commands, so that no single participant is the
// cause. It counts only participants whose refusals began after the bus last accepted a command,
// because earlier refusals prove nothing about the others. More than one such participant is
// required, or one if all participants are refused. These refusals must have lasted for at least
// standsAfter.
func (m *monitor) refusesAll(lines []outbox.QueueStats) bool {
	now, accepted := m.c.config.Clock(), m.c.relay.Stats().Accepted
	refused, lately, first := 0, 0, now
	for i := range lines {
		l := &lines[i]
		if l.To == outbox.Lifecycle || l.Problem == nil {
			continue
		}
		refused++
		if !l.Since.Before(accepted) {
			lately++
			if l.Since.Before(first) {
				first = l.Since
			}
		}
	}
	return now.Sub(first) >= standsAfter && (lately > 1 || lately > 0 && refused >= m.c.definitions.participantCount())
}

// store checks whether the store accepts commits, how many records are pending, and whether timers
// are late.
func (m *monitor) store(ctx context.Context) (found []api.Standstill, err error) {
	if err := m.c.config.Store.Check(ctx); err != nil {
		return []api.Standstill{{
			Kind: api.StandstillStore, Stops: true, Reason: err.Error(), Fix: "make room on the disk of the data directory, or move the directory to a disk that is larger, faster or intact",
		}}, nil
	}
	counts, err := m.c.config.Store.Destinations(ctx)
	if err != nil {
		return nil, fmt.Errorf("count the pending messages: %w", err)
	}
	m.c.pending.Store(&counts)
	if m.c.projection.Doubted() {
		if err := m.c.countOpen(ctx); err != nil {
			return nil, err
		}
	}
	late := m.c.config.Clock().Add(-lateAfter)
	ids, _, err := m.c.config.Store.Due(ctx, late, MaxBlocked+1)
	if err != nil {
		return nil, fmt.Errorf("look for late timers: %w", err)
	}
	ids = slices.DeleteFunc(ids, m.c.projection.IsBlocked)
	if len(ids) > 0 {
		one := api.Standstill{
			Kind: api.StandstillTimers, Reason: fmt.Sprintf("%s due more than %s ago but not woken, such as %s", plural.Of(len(ids), "saga was", "sagas were"), lateAfter, ids[0]),
			Fix: "check whether the coordinator gets enough processor time, and check its disk; a restart is safe",
		}
		if why := m.c.timekeeper.held.Load(); why != nil {
			one.Reason += "; " + *why
			one.Fix = "the timers continue by themselves; check the bus and the other standstills"
		}
		found = append(found, one)
	}
	return found, nil
}
