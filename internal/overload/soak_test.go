//go:build linux

package overload

import (
	"testing"
	"time"
)

// TestSoak holds I10 over time: a mix of sagas with a fault every so often, and
// between the faults quiet points at which everything is counted. The first one
// is what the others are held against.
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
	var first census
	var sagas int64
	for round := range rounds {
		c := s.keep(16, deliver, func(n int64) parcel { return parcel{N: n, Refuse: n%4 == 0} })
		for n := range faults {
			c.measure(every)
			breaks[n%len(breaks)]()
		}
		c.measure(every / 2)
		c.stop()
		c.check(t)
		sagas += c.ended.Load()
		now := s.count(*soakMinutes > 0)
		t.Logf("after %d faults and %d sagas: %s", (round+1)*faults, sagas, now)
		atLeast(t, "sagas that ended in a round", float64(c.ended.Load()), 100)
		if round == 0 {
			first = now
			continue
		}
		now.compare(t, first)
		if t.Failed() {
			break
		}
	}
}

// compare fails when something has grown beyond what happens by chance.
func (c census) compare(t *testing.T, first census) {
	t.Helper()
	atMost(t, "live heap in MiB", c.heap, 1.5*first.heap+16)
	atMost(t, "resident memory in MiB", c.anon, 1.5*first.anon+64)
	atMost(t, "messages in the work queues", float64(c.queued), 64)
	atMost(t, "the slowest saga in s", c.slowest.Seconds(), 40)
	atMost(t, "goroutines", float64(c.goroutines), float64(first.goroutines+16))
	atMost(t, "open files", float64(c.files), float64(first.files+16))
	atMost(t, "the store's file in MiB", float64(c.stored)/mebi, 1.5*float64(first.stored)/mebi+4)
	if c.streams != first.streams || c.consumers != first.consumers {
		t.Errorf("%d streams and %d consumers, at first %d and %d", c.streams, c.consumers, first.streams, first.consumers)
	}
}
