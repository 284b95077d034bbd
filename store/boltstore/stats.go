package boltstore

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// Stats holds counters since Open. Reading them is cheap.
type Stats struct {
	Calls         uint64 // calls of Commit that reached the committer
	Changes       uint64 // changes that were committed
	Refused       uint64 // changes refused with an error of their own
	Transactions  uint64 // writes to disk with two fsyncs each: pages, then root
	BytesWritten  uint64 // pages written
	LastGroup     uint64 // changes in the last transaction that had any
	LargestGroup  uint64
	Damaged       uint64 // reads of damaged records, skipped or returned as an error
	DamagedNow    int    // distinct damaged records that were read, except records of removed sagas; at most MaxDamaged
	CommitSeconds float64
}

// MaxDamaged bounds Stats.DamagedNow (I10).
const MaxDamaged = 10_000

// counters holds the current values of Stats.
type counters struct {
	calls, changes, refused, transactions, written atomic.Uint64
	last, largest, damaged, commitNanos            atomic.Uint64

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
func (c *counters) fixed(t *traces) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range t.found {
		delete(c.now, one.table.corrupt(one.key, "").What)
	}
	maps.DeleteFunc(c.now, func(_ string, of contract.SagaID) bool { return of == t.id })
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
	return Stats{
		Calls:         c.calls.Load(),
		Changes:       c.changes.Load(),
		Refused:       c.refused.Load(),
		Transactions:  c.transactions.Load(),
		BytesWritten:  c.written.Load(),
		LastGroup:     c.last.Load(),
		LargestGroup:  c.largest.Load(),
		Damaged:       c.damaged.Load(),
		DamagedNow:    c.different(),
		CommitSeconds: float64(c.commitNanos.Load()) / 1e9,
	}
}
