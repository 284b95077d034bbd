package boltstore

import (
	"errors"
	"sync/atomic"

	"github.com/amends-dev/amends/store"
)

// Stats are counters since Open. Reading them is cheap.
type Stats struct {
	Calls         uint64 // of Commit that were taken up
	Changes       uint64 // committed
	Refused       uint64 // changes answered with an error of their own
	Transactions  uint64 // writes to disk, each two fsyncs: pages, then root
	BytesWritten  uint64 // pages written
	LastGroup     uint64 // changes in the last transaction that had any
	LargestGroup  uint64
	Damaged       uint64 // damaged records that were met, passed over or answered with an error; one that is met again counts again
	CommitSeconds float64
}

// counters are the live form of Stats.
type counters struct {
	calls, changes, refused, transactions, written atomic.Uint64
	last, largest, damaged, commitNanos            atomic.Uint64
}

// met counts err when it is of a damaged record.
func (c *counters) met(err error) {
	if errors.Is(err, store.ErrCorrupt) {
		c.damaged.Add(1)
	}
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
		CommitSeconds: float64(c.commitNanos.Load()) / 1e9,
	}
}
