//go:build linux && lab

package overload

import (
	"testing"
	"time"
)

// restarts is the number of times the bus is restarted.
const restarts = 5

// TestAdversity stops participants, slows the disk and restarts the bus, one after the other under
// full load. The system becomes slower, but no saga is compensated without a reason (I3), and
// memory is bounded (I10).
func TestAdversity(t *testing.T) {
	s := newSystem(t, handling{takes: 2 * time.Millisecond, concurrency: 16}, nil)
	memory := watchMemory(t)
	c := s.keep(128, deliver, ordinary)
	c.measure(500 * time.Millisecond)
	calm := c.measure(1500 * time.Millisecond)
	before := memory.take()
	t.Logf("calm: %s; %s", calm, before)

	for name := range s.services {
		s.stopService(name)
	}
	c.measure(2 * time.Second)
	for name := range s.services {
		s.startService(name)
	}
	c.resume(t, func() {})
	c.measure(500 * time.Millisecond)
	back := c.measure(1500 * time.Millisecond)
	t.Logf("participants away for 2 s, then: %s; %s", back, memory.take())
	atLeast(t, "the rate after participants were away, in percent", 100*back.rate/calm.rate, 20)

	s.delay.Store(int64(300 * time.Millisecond))
	slow := c.measure(3 * time.Second)
	t.Logf("every commit takes 300 ms: %s; %s", slow, memory.take())
	atLeast(t, "sagas per second on a slow disk", slow.rate, 10)
	s.delay.Store(0)

	var away time.Duration
	for range restarts {
		away = max(away, c.resume(t, s.restartServer))
		c.measure(200 * time.Millisecond)
	}
	atMost(t, "the longest standstill after a restart of the bus in ms", float64(away.Milliseconds()), 3000)
	again := c.measure(1500 * time.Millisecond)
	peak := memory.take()
	t.Logf("the bus was restarted %d times, standstill %s at most, then: %s; %s", restarts, away, again, peak)
	atLeast(t, "the rate after the bus was restarted, in percent", 100*again.rate/calm.rate, 20)
	atMost(t, "peak heap in MiB", peak.heap, 3*before.heap+128)
	atMost(t, "peak resident memory in MiB", peak.anon, 3*before.anon+128)

	c.stop()
	c.check(t)
	s.drain()
}

// resume runs fault and returns the time from its return to the next end of a saga.
func (c *callers) resume(t *testing.T, fault func()) time.Duration {
	t.Helper()
	fault()
	began, from := time.Now(), c.ended.Load()
	eventually(t, "sagas end again", func() bool { return c.ended.Load() > from })
	return time.Since(began)
}

// TestQuietDoesNothing checks that nothing is sent, received or committed after all sagas have
// ended.
func TestQuietDoesNothing(t *testing.T) {
	s := newSystem(t, handling{concurrency: 16}, nil)
	c := s.keep(32, deliver, func(n int64) parcel { return parcel{N: n, Refuse: n%5 == 0} })
	c.measure(time.Second)
	c.stop()
	c.check(t)
	s.drain()
	eventually(t, "the last word about the last saga is out", func() bool {
		before := s.doings()
		pause(t.Context(), 1500*time.Millisecond) // the store writes what was discarded after a second
		return s.onBus(t.Context()).queued == 0 && s.doings() == before
	})

	began, before := cpu(), s.doings()
	pause(t.Context(), 3*time.Second)
	after, used := s.doings(), cpu()-began
	t.Logf("%d sagas ended; in 3 s of quiet: %s of processor time", c.ended.Load(), used)
	if before != after {
		t.Errorf("something was done although nothing happened:\n before %+v\n after  %+v", before, after)
	}
	atMost(t, "processor time in 3 s of quiet, in percent", 100*used.Seconds()/3, 20)

	// Retention runs every ten seconds. It must not write when there is nothing to remove.
	writes := s.coord.store.Stats().Records
	past := time.Now().Add(-time.Hour)
	if _, _, err := s.coord.store.Expire(t.Context(), past, past, 1000); err != nil {
		t.Fatal(err)
	}
	if n := s.coord.store.Stats().Records - writes; n != 0 {
		t.Errorf("retention wrote %d times although there was nothing to forget", n)
	}
}
