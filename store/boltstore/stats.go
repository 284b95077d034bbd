package boltstore

import (
	"errors"
	"maps"
	"os"
	"sync"
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

	Waiting      Waiting   // what commits wait for now
	WaitingSince time.Time // zero if they do not wait

	Checkpoints     uint64
	LastCheckpoint  time.Time // when one was last completed; Open writes one unless the disk is full
	CheckpointSyncs uint64    // fsyncs of the state's file by checkpoints: two for each piece
	CheckpointBytes uint64    // pages that checkpoints wrote
	OverlayBytes    int64     // size of the overlay, roughly
	BehindBytes     int64     // size of the records since the last checkpoint; a log that is kept because of a damaged saga does not count
	BehindSince     time.Time // when the oldest change that the state lacks was committed; zero if it lacks none
	StateBytes      int64     // size of the state's file; 0 if unknown
	Log             log.Stats
}

// MaxDamaged bounds Stats.DamagedNow (I10).
const MaxDamaged = 10_000

// counters holds the current values of Stats.
type counters struct {
	mu    sync.Mutex
	stats Stats                      // but for what Store.Stats adds
	now   map[string]contract.SagaID // damaged records that were read, with their sagas
}

// damage counts err if it reports a damaged record.
func (c *counters) damage(err error) {
	if damage, ok := errors.AsType[*store.CorruptError](err); ok {
		c.note(damage.What, damage.Saga)
	}
}

// note counts a damaged record.
func (c *counters) note(what string, of contract.SagaID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Damaged++
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

// checkpoint counts a checkpoint.
func (c *counters) checkpoint() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Checkpoints++
	c.stats.LastCheckpoint = time.Now()
}

// piece counts a transaction of a checkpoint.
func (c *counters) piece(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.CheckpointSyncs += 2 // pages, then the root page
	c.stats.CheckpointBytes += uint64(bytes)
}

// measure counts requests, and the record that holds what was accepted of them; its size is 0 if there
// is none.
func (c *counters) measure(requests []*request, size int, took time.Duration) {
	var changes uint64
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range requests {
		if r.work == nil {
			c.stats.Calls++
		}
		for _, err := range r.results {
			if err != nil {
				c.stats.Refused++
			} else {
				changes++
			}
		}
	}
	c.stats.Changes += changes
	if size > 0 {
		c.stats.Records++
		c.stats.BytesLogged += uint64(size)
		c.stats.CommitSeconds += took.Seconds()
	}
	if changes > 0 {
		c.stats.LastGroup, c.stats.LargestGroup = changes, max(c.stats.LargestGroup, changes)
	}
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	s.counters.mu.Lock()
	stats := s.counters.stats
	stats.DamagedNow = len(s.counters.now)
	s.counters.mu.Unlock()
	s.mu.RLock()
	stats.OverlayBytes, stats.BehindBytes, stats.BehindSince = s.overlay.size, s.logged, s.oldest
	if !s.writing.IsZero() {
		stats.BehindSince = s.writing
	}
	s.mu.RUnlock()
	w := s.waiting()
	stats.Waiting, stats.WaitingSince = w.what, w.since
	if file, err := os.Stat(s.info.Path); err == nil {
		stats.StateBytes = file.Size()
	}
	stats.Log = s.log.Stats()
	return stats
}
