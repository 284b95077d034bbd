//go:build linux && lab

package overload

import (
	"context"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
)

// The configuration of the coordinator under pressure. Beyond maxOpen, a start is accepted only if
// it was checked before the limit was reached. Such a start is queued at its shard, in the batch
// being decided or in the batch being committed.
const (
	maxOpen    = 400
	maxWaiting = 128
	maxBatch   = 64
	mostOpen   = maxOpen + maxWaiting + 2*maxBatch
)

const (
	enough        = 1000            // number of refusals after which a limit counts as reached
	leastRate     = 50              // the least sustainable rate expected of the slowest machine, in sagas per second
	answerTimeout = 5 * time.Second // how long a caller waits for one answer
)

// pressure is a system under ten times its sustainable load while it has a fault.
type pressure struct {
	*system
	f        *flood
	most     int           // largest number of sagas open at once
	trouble  time.Duration // least duration of the fault; 0 ends it when its effect shows
	accepted int64         // starts accepted during the fault
	refused  int64
}

// misfortune describes a fault and what is expected of the system during it.
type misfortune struct {
	name  string
	bring func(t *testing.T, p *pressure) // causes and ends the fault
	share float64                         // least share of the starts that must be refused, in percent
}

var misfortunes = []misfortune{
	{"participants away", awayParticipants, 50},
	{"slow disk", slowDisk, 50},
	{"bus restarted", restartedBus, 50},
}

// TestPressure checks I2 and I10 when the load stays at ten times the sustainable rate while
// participants are stopped, the disk is slow, or the bus restarts repeatedly. The configuration
// bounds the number of open sagas, and memory stays near its level before the fault. Excess starts
// are refused with a retry hint, and accepted sagas complete. The fault lasts until its effect
// shows; in the long form it lasts at least -overload.minutes.
func TestPressure(t *testing.T) {
	for _, m := range misfortunes {
		t.Run(m.name, m.run)
	}
}

func (m misfortune) run(t *testing.T) {
	s := newSystem(t, handling{takes: 20 * time.Millisecond, concurrency: 8}, func(c *coordinator.Config) {
		c.Shards, c.MaxOpen, c.MaxWaiting, c.MaxBatch = 1, maxOpen, maxWaiting, maxBatch
	})
	memory := watchMemory(t)
	c := s.keep(64, deliver, ordinary)
	c.measure(300 * time.Millisecond)
	calm := c.measure(time.Second)
	c.stop()
	c.check(t)

	// A start that times out is retried, and a later refusal does not mean that no earlier attempt
	// was accepted. A long answerTimeout keeps these cases few on a slow machine.
	s.client = s.newClient(client.RequestTimeout(answerTimeout))
	p := &pressure{system: s, f: &flood{}, trouble: time.Duration(*overloadMinutes * float64(time.Minute))}
	stop := p.begin(max(calm.rate, leastRate) * factor)
	p.until(t, "starts are refused", func() bool { return p.f.refused.Load() >= enough })
	full := memory.take()
	accepted, refused, began := p.f.accepted.Load(), p.f.refused.Load(), time.Now()
	m.bring(t, p)
	p.accepted, p.refused = p.f.accepted.Load()-accepted, p.f.refused.Load()-refused
	took, peak := time.Since(began), memory.take()
	t.Logf("sustainable: %s; full load: %s; %s for %.1f s: %d starts accepted, %d refused, at most %d sagas open; %s",
		calm, full, m.name, took.Seconds(), p.accepted, p.refused, p.most, peak)

	ended := s.finished()
	accepted = p.f.accepted.Load()
	p.until(t, "sagas end and starts are accepted again, under the same load", func() bool {
		return s.finished() >= ended+maxOpen && p.f.accepted.Load() > accepted
	})
	stop()
	s.drain()
	p.f.check(t, s)
	atMost(t, "the sagas that were open at once", float64(p.most), mostOpen)
	atLeast(t, "the share of refused starts, in percent", 100*float64(p.refused)/float64(p.refused+p.accepted), m.share)
	atMost(t, "peak heap in MiB", peak.heap, 2*full.heap+64)
	atMost(t, "peak resident memory in MiB", peak.anon, 2*full.anon+64)
}

// begin offers rate starts a second until stop is called. stop returns when each start has been
// answered.
func (p *pressure) begin(rate float64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	begun := make(chan func(), 1)
	go func() { begun <- p.offerAll(ctx, p.f, rate) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		(<-begun)()
	}
	p.t.Cleanup(stop)
	return stop
}

// until polls until holds returns true, and records the number of open sagas.
func (p *pressure) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		p.most = max(p.most, p.open())
		return holds()
	})
}

// last lets a fault last until its effect shows, and at least p.trouble.
func (p *pressure) last(t *testing.T, what string, shows func() bool) {
	t.Helper()
	began := time.Now()
	p.until(t, what, shows)
	for ; time.Since(began) < p.trouble; pause(t.Context(), 20*time.Millisecond) {
		p.most = max(p.most, p.open())
	}
}

// more returns a function that reports whether at least n starts were refused since the call of
// more.
func (p *pressure) more(n int64) func() bool {
	from := p.f.refused.Load()
	return func() bool { return p.f.refused.Load() >= from+n }
}

// awayParticipants stops the participants, so that no saga makes progress. The coordinator then
// accepts only as many starts as the limit of open sagas allows. The bus holds one command for each
// attempt of each of these sagas.
func awayParticipants(t *testing.T, p *pressure) {
	for name := range p.services {
		p.stopService(name)
	}
	began, accepted := time.Now(), p.f.accepted.Load()
	p.last(t, "starts are refused while participants are away", p.more(enough))
	attempts := 1 + int(time.Since(began)/saga.DefaultTimeout)
	atMost(t, "starts accepted while participants were away", float64(p.f.accepted.Load()-accepted), mostOpen)
	queued := p.onBus(t.Context()).queued
	atLeast(t, "messages that wait for them", float64(queued), 1)
	atMost(t, "messages that wait for them", float64(queued), float64(attempts*mostOpen))
	for name := range p.services {
		p.startService(name)
	}
}

// slowDisk delays every commit by half a second; sagas must still end.
func slowDisk(t *testing.T, p *pressure) {
	p.delay.Store(int64(500 * time.Millisecond))
	defer p.delay.Store(0)
	ended, refused, calls := p.finished(), p.more(enough), p.coord.store.Stats().Calls
	p.last(t, "starts are refused and sagas end while the disk is slow", func() bool {
		return refused() && p.coord.store.Stats().Calls >= calls+8 && p.finished() >= ended+maxBatch
	})
}

// restartedBus restarts the bus repeatedly. Between two restarts, starts are refused and sagas end.
// In the long form there are a few seconds between restarts, because an in-process server keeps
// memory that long after its shutdown.
func restartedBus(t *testing.T, p *pressure) {
	const restarts = 20 // restarts in the long form
	began := time.Now()
	for n := 0; n < 3 || time.Since(began) < p.trouble; n++ {
		ended, refused, again := p.finished(), p.more(enough/4), time.Now().Add(p.trouble/restarts)
		p.restartServer()
		p.until(t, "starts are refused and sagas end after a restart of the bus", func() bool {
			return refused() && p.finished() > ended && time.Now().After(again)
		})
	}
}
