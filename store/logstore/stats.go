package logstore

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
)

// Stats holds counters since Open. Reading them is cheap.
type Stats struct {
	Calls         uint64 // calls of Commit that reached the committer
	Changes       uint64 // changes that were committed
	Refused       uint64 // changes refused with an error of their own
	Records       uint64 // records appended to the log, with one fsync each
	BytesLogged   uint64 // of these records
	LastGroup     uint64 // changes in the last record that had any
	LargestGroup  uint64
	Damaged       uint64 // reads of damaged records, skipped or returned as an error
	DamagedNow    int    // distinct damaged records that were read, except records of removed sagas; at most MaxDamaged
	CommitSeconds float64

	Checkpoints  uint64
	OverlayBytes int64 // size of the overlay, roughly
	BehindBytes  int64 // size of the part of the log that the state lacks
	Log          log.Stats
}

// MaxDamaged bounds Stats.DamagedNow (I10).
const MaxDamaged = 10_000

// counters holds the current values of Stats.
type counters struct {
	calls, changes, refused, records, logged, checkpoints atomic.Uint64
	last, largest, damaged, commitNanos                   atomic.Uint64

	mu  sync.Mutex
	now map[string]contract.SagaID // damaged records that were read, with their sagas
}

// met counts err if it reports a damaged record.
func (c *counters) met(err error) {
	if damage, ok := errors.AsType[*store.CorruptError](err); ok {
		c.note(damage.What, damage.Saga)
	}
}

// note counts a damaged record.
func (c *counters) note(what string, of contract.SagaID) {
	c.damaged.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		c.now = map[string]contract.SagaID{}
	}
	if _, known := c.now[what]; known && of != "" || len(c.now) < MaxDamaged {
		c.now[what] = of
	}
}

// fixed removes the records of a removed saga from the set of damaged records.
func (c *counters) fixed(id contract.SagaID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.now, func(_ string, of contract.SagaID) bool { return of == id })
}

// measure counts a record and the requests in it.
func (c *counters) measure(requests []*request, size int, took time.Duration) {
	var changes, refused, calls uint64
	for _, r := range requests {
		if r.work == nil {
			calls++
		}
		for _, err := range r.results {
			if err != nil {
				refused++
				c.met(err)
			} else {
				changes++
			}
		}
	}
	c.calls.Add(calls)
	c.changes.Add(changes)
	c.refused.Add(refused)
	if size == 0 {
		return
	}
	c.records.Add(1)
	c.logged.Add(uint64(size))
	c.commitNanos.Add(uint64(took))
	if changes > 0 {
		c.last.Store(changes)
		c.largest.Store(max(c.largest.Load(), changes))
	}
}

// different returns the number of distinct damaged records.
func (c *counters) different() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.now)
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	c := &s.counters
	s.mu.RLock()
	size, behind := s.overlay.size, s.logged
	s.mu.RUnlock()
	return Stats{
		Calls:         c.calls.Load(),
		Changes:       c.changes.Load(),
		Refused:       c.refused.Load(),
		Records:       c.records.Load(),
		BytesLogged:   c.logged.Load(),
		LastGroup:     c.last.Load(),
		LargestGroup:  c.largest.Load(),
		Damaged:       c.damaged.Load(),
		DamagedNow:    c.different(),
		CommitSeconds: float64(c.commitNanos.Load()) / 1e9,
		Checkpoints:   c.checkpoints.Load(),
		OverlayBytes:  size,
		BehindBytes:   behind,
		Log:           s.log.Stats(),
	}
}
