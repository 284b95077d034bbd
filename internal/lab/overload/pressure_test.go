//go:build linux && lab

package overload

import (
	"context"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/coordinator"
	"github.com/amends-dev/amends/saga"
)

// What the coordinator under pressure takes. Beyond maxOpen a start is accepted
// only when it was looked at before the limit was reached: then it waits at the
// shard, or is in the batch that is decided or in the one being committed.
const (
	maxOpen    = 400
	maxWaiting = 128
	maxBatch   = 64
	mostOpen   = maxOpen + maxWaiting + 2*maxBatch
)

const (
	enough        = 1000            // refusals that show that a limit is reached and stays reached
	leastRate     = 50              // sagas a second that count as sustainable on the slowest machine
	answerTimeout = 5 * time.Second // of a caller, for one answer
)

// pressure is a system that is offered ten times what it can do while something
// is wrong with it.
type pressure struct {
	*system
	f        *flood
	most     int           // sagas that were open at once
	trouble  time.Duration // how long it has to last; 0: until it shows
	accepted int64         // starts that were accepted while it lasted
	refused  int64
}

// misfortune is what can be wrong, with what is known of the system meanwhile.
type misfortune struct {
	name  string
	bring func(t *testing.T, p *pressure) // and take it away again
	share float64                         // percent of the starts that are refused at least
}

var misfortunes = []misfortune{
	{"participants away", awayParticipants, 50},
	{"slow disk", slowDisk, 50},
	{"bus restarted", restartedBus, 50},
}

// TestPressure holds I2 and I10 where the load stays at ten times the sustainable
// while participants are away, the disk is slow, or the bus restarts again and
// again: the sagas that are open are bounded by the configuration, memory by
// what it was before the trouble, starts are refused with a hint, and what was
// accepted completes. The trouble lasts until it shows; in the long form as long
// as -overload.minutes says.
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

	// A start that is not answered in time is repeated, and a refusal after that is
	// not the last word: answerTimeout keeps what the machine delays countable.
	s.client = s.newClient(client.Timeout(answerTimeout))
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

// begin offers rate starts a second until stop, which returns when each is
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

// until polls until something holds, and sees how many sagas are open.
func (p *pressure) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		p.most = max(p.most, p.open())
		return holds()
	})
}

// last lets a trouble last until it shows, and as long as it has to.
func (p *pressure) last(t *testing.T, what string, shows func() bool) {
	t.Helper()
	began := time.Now()
	p.until(t, what, shows)
	for ; time.Since(began) < p.trouble; pause(t.Context(), 20*time.Millisecond) {
		p.most = max(p.most, p.open())
	}
}

// more reports whether there were n further refusals since the call.
func (p *pressure) more(n int64) func() bool {
	from := p.f.refused.Load()
	return func() bool { return p.f.refused.Load() >= from+n }
}

// awayParticipants: no saga gets on, so that the limit of open ones is all that
// is accepted, and what waits for them in the bus is a command for each of those
// and each of its attempts.
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

// slowDisk: every commit takes half a second, and sagas still end.
func slowDisk(t *testing.T, p *pressure) {
	p.delay.Store(int64(500 * time.Millisecond))
	defer p.delay.Store(0)
	ended, refused, calls := p.finished(), p.more(enough), p.coord.store.Stats().Calls
	p.last(t, "starts are refused and sagas end while the disk is slow", func() bool {
		return refused() && p.coord.store.Stats().Calls >= calls+8 && p.finished() >= ended+maxBatch
	})
}

// restartedBus: after every restart starts are refused and sagas end before the
// next one. In the long form restarts have a few seconds between them: a server
// in this process that was shut down keeps memory for as long.
func restartedBus(t *testing.T, p *pressure) {
	const restarts = 20 // in the long form
	began := time.Now()
	for n := 0; n < 3 || time.Since(began) < p.trouble; n++ {
		ended, refused, again := p.finished(), p.more(enough/4), time.Now().Add(p.trouble/restarts)
		p.restartServer()
		p.until(t, "starts are refused and sagas end after a restart of the bus", func() bool {
			return refused() && p.finished() > ended && time.Now().After(again)
		})
	}
}
