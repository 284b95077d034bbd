//go:build linux && lab

package overload

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/store/boltstore"
)

// soakMemory is the most memory, in MiB, that the whole process may use in a soak, NATS server and
// participants included. It does not depend on the number of sagas in a round.
const soakMemory = 512

// TestSoak checks I10 over time. It runs a mix of sagas with a fault at regular intervals, and
// counts everything at quiet points between the faults. The other quiet points are compared with
// the first one.
func TestSoak(t *testing.T) {
	every, faults, rounds := 1500*time.Millisecond, 4, 3
	if *soakMinutes > 0 {
		every, faults = *soakEvery, 30
		rounds = 1 + int(*soakMinutes*float64(time.Minute)/float64(every*time.Duration(faults)))
	}
	s := newSystem(t, handling{takes: time.Millisecond, concurrency: 16}, nil)
	breaks := []func(){
		s.restartServer,
		func() { s.stopService("north"); s.startService("north") },
		func() { s.stopCoordinator(); s.startCoordinator() },
		func() { s.stopService("south"); s.startService("south") },
	}
	memory := watchMemory(t)
	var first census
	var most int64 // most bytes in use in the store
	var sagas int64
	began := time.Now()
	for round := range rounds {
		c := s.keep(16, deliver, func(n int64) parcel { return parcel{N: n, Refuse: n%4 == 0} })
		for n := range faults {
			c.measure(every)
			breaks[n%len(breaks)]()
			s.forget(time.Now().Add(-limit))
		}
		c.measure(every / 2)
		c.stop()
		c.check(t)
		sagas += c.ended.Load()
		now := s.count(*soakMinutes > 0)
		most = max(most, now.full.Used)
		peak := memory.take()
		t.Logf("%s: after %d faults and %d sagas: %s; at most in between: %s, and %s in which nothing in the process ran",
			time.Since(began).Round(time.Second), (round+1)*faults, sagas, now, peak, memory.standstill())
		atMost(t, "resident memory in MiB at its most", peak.anon, soakMemory)
		atLeast(t, "sagas that ended in a round", float64(c.ended.Load()), 100)
		if round == 0 {
			first = now
			continue
		}
		now.compare(t, first)
		now.compareSpace(t, first, most)
		if t.Failed() {
			break
		}
	}
}

// compare reports an error for each value that has grown beyond normal variation.
func (c census) compare(t *testing.T, first census) {
	t.Helper()
	atMost(t, "live heap in MiB", c.heap, 1.5*first.heap+16)
	atMost(t, "resident memory in MiB", c.anon, 1.5*first.anon+64)
	atMost(t, "messages in the work queues", float64(c.queued), 64)
	atMost(t, "the slowest saga in s", c.slowest.Seconds(), 40)
	atMost(t, "goroutines", float64(c.goroutines), float64(first.goroutines+16))
	atMost(t, "open files", float64(c.files), float64(first.files+16))
	if c.streams != first.streams || c.consumers != first.consumers {
		t.Errorf("%d streams and %d consumers, at first %d and %d", c.streams, c.consumers, first.streams, first.consumers)
	}
}

// waiting is the most space that entries awaiting removal may take at a quiet point: 2,048 records
// of pending, each less than a kilobyte.
const waiting = 2 << 20

// compareSpace reports an error if the store holds data that is no longer needed, or if its file is
// larger than the data it once held explains. A file never shrinks, so its size depends on the
// round with the most sagas (boltstore.Space).
func (c census) compareSpace(t *testing.T, first census, most int64) {
	t.Helper()
	atMost(t, "what the store holds of sagas that are forgotten, in MiB", inMebi(c.quiet.Used), inMebi(first.quiet.Used+waiting))
	atMost(t, "up to where the store's file was ever in use, in MiB", inMebi(c.quiet.Reached), inMebi(most*3/2+waiting))
	atMost(t, "the store's file in MiB", inMebi(c.quiet.File), inMebi(c.quiet.Reached+boltstore.FileGrowth))
}
