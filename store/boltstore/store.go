package boltstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
)

var _ store.Store = (*Store)(nil)

// Store is a store in a log, an overlay and a bbolt file. Open returns one.
type Store struct {
	options  Options
	info     Info
	db       *bolt.DB
	log      *log.File
	self     *amendsv1.StoreRow // what checkpoints write of the store, without the mark
	counters counters

	requests     chan *request
	hasDiscards  chan struct{} // wakes the committer
	closing      chan struct{} // closed by Close
	stopped      chan struct{} // closed when the committer has stopped
	checkpoints  chan *checkpointRequest
	large        chan struct{} // wakes the checkpointer
	progress     chan struct{} // wakes the committer after a piece
	checkpointed chan struct{} // closed when the checkpointer has stopped
	close        sync.Once
	closeErr     error

	saved     log.Mark // the mark of the last checkpoint that was completed; used by the checkpointer
	savedItem uint64   // number of the last item up to saved

	item       uint64        // number of the last item; changed by the committer, with mu locked
	updating   atomic.Int64  // since when a transaction of bbolt is under way, in nanoseconds since 1970; 0: none is
	generation atomic.Uint64 // changes, with mu locked, whenever sagas have left the overlay

	mu        sync.RWMutex // the last lock that is taken: no transaction begins and no log is called under it
	overlay   overlay
	entries   map[string]*value      // by table and key
	counts    map[tally]int          // of overlay and bbolt together
	discarded map[outbox.ID]struct{} // given to Discard, and not in the log yet
	mark      log.Mark               // of the last record that is applied
	logged    int64                  // bytes of the records since the last checkpoint
	oldest    time.Time              // since when there are changes that no checkpoint has begun to write; or zero
	writing   time.Time              // the same of the changes that the checkpoint under way writes; or zero

	failing sync.Mutex
	broken  error // ErrBroken with its cause
	full    error // why the disk has no room for a checkpoint; or nil
	wait    wait  // of the committer

	// failAppend lets tests inject a failure between verdict and append, and failUpdate one of a
	// transaction of a checkpoint.
	failAppend, failUpdate func() error
}

// Info describes a store.
type Info struct {
	ID          string // id of the store; a restored backup keeps it
	Incarnation uint64 // how often the store was restored from a backup
	Created     time.Time
	Schema      int  // version of the tables
	Sealed      bool // created with keys
	Path        string
}

// Info returns what the store recorded about itself when it was opened.
func (s *Store) Info() Info { return s.info }

// Close commits the queued requests, writes a checkpoint, so that the next start need not replay the
// log, and closes the store. A second call has no effect.
func (s *Store) Close() error { return s.shut(s.lastCheckpoint) }

// shut closes the store. last is called when nothing else is under way.
func (s *Store) shut(last func() error) error {
	s.close.Do(func() {
		close(s.closing)
		<-s.stopped
		<-s.checkpointed
		var err error
		if s.failure() == nil {
			err = last()
		}
		s.closeErr = errors.Join(err, s.log.Close(), s.db.Close())
		if s.closeErr != nil {
			s.closeErr = fmt.Errorf("close store %s: %w", s.info.Path, s.closeErr)
		}
	})
	return s.closeErr
}

func (s *Store) lastCheckpoint() error {
	s.mu.RLock()
	idle := s.logged == 0
	s.mu.RUnlock()
	if idle {
		return nil
	}
	err := s.checkpoint(nil)
	if boltfile.IsFull(err) { // the log holds everything
		return nil
	}
	return err
}

// usable returns nil if the store can be used, and otherwise the reason why not.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.isClosing() {
		return store.ErrClosed
	}
	return s.failure()
}

func (s *Store) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// failure returns ErrBroken with its cause, or nil.
func (s *Store) failure() error {
	s.failing.Lock()
	defer s.failing.Unlock()
	return s.broken
}

// breakDown makes every later call fail with ErrBroken, and returns that error. The first cause is
// kept.
func (s *Store) breakDown(cause error) error {
	s.failing.Lock()
	defer s.failing.Unlock()
	if s.broken == nil {
		s.broken = fmt.Errorf("%w: %w", store.ErrBroken, cause)
	}
	return s.broken
}

// setFull notes why the disk has no room for a checkpoint, or that it has.
func (s *Store) setFull(err error) {
	s.failing.Lock()
	defer s.failing.Unlock()
	s.full = err
}

// stateFull returns why the disk has no room for a checkpoint, or nil.
func (s *Store) stateFull() error {
	s.failing.Lock()
	defer s.failing.Unlock()
	return s.full
}

// Waiting is what commits wait for.
type Waiting string

// What commits may wait for.
const (
	NotWaiting        Waiting = ""
	WaitingCheckpoint Waiting = "checkpoint" // checkpoints are slower than commits
	WaitingLogFull    Waiting = "log_full"   // the disk has no room for another segment of the log
	WaitingStateFull  Waiting = "state_full" // the disk has no room for a checkpoint, and the overlay is full
)

// wait is what the committer waits for, since when, and why.
type wait struct {
	what  Waiting
	since time.Time
	why   error
}

// setWaiting notes what the committer waits for, and why.
func (s *Store) setWaiting(what Waiting, why error) {
	s.failing.Lock()
	defer s.failing.Unlock()
	if s.wait.what == NotWaiting {
		s.wait.since = time.Now()
	}
	s.wait.what, s.wait.why = what, why
	if what == NotWaiting {
		s.wait = wait{}
	}
}

// waiting returns what the committer waits for.
func (s *Store) waiting() wait {
	s.failing.Lock()
	defer s.failing.Unlock()
	return s.wait
}

// starved returns why new sagas are refused, or nil. What room is left is then a reserve, for the sagas that
// were started: the spare segments of the log, and the overlay up to fullFactor.
func (s *Store) starved() error { return errors.Join(s.stateFull(), s.log.Full()) }

// report counts damage that is skipped, and passes the error to Options.OnCorrupt.
func (s *Store) report(err error) {
	if errors.Is(err, store.ErrCorrupt) {
		s.counters.damage(err)
	} else {
		s.counters.note(err.Error(), "")
	}
	if s.options.OnCorrupt != nil {
		s.options.OnCorrupt(err)
	}
}

// Shared implements store.Store. It returns false, because one process locks the file.
func (s *Store) Shared() bool { return false }

// Check returns an error unless the store can take a commit: it must be open and not broken, commits
// must not have waited for a checkpoint for waitLimit, and the disk must have enough free space
// (Options.MinFree). The error is store.ErrFull if a piece of a checkpoint or a record has found none.
func (s *Store) Check(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	dir := filepath.Dir(s.info.Path)
	if err := s.checkWaiting(dir); err != nil {
		return err
	}
	if free, known := log.FreeSpace(dir); known && s.options.MinFree >= 0 && free < s.options.MinFree {
		return fmt.Errorf("%s has %d MiB left, less than %d MiB: make room before commits fail",
			dir, free>>20, s.options.MinFree>>20)
	}
	for _, path := range []string{s.info.Path, logPath(s.info.Path)} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s was removed while in use: %w", path, err)
		}
	}
	return nil
}

// checkWaiting returns an error if commits wait, or if starts are refused because the disk is full.
func (s *Store) checkWaiting(dir string) error {
	w := s.waiting()
	if w.what == WaitingLogFull || w.what == WaitingStateFull {
		return fmt.Errorf("%w, and commits wait until there is room in %s: %w", store.ErrFull, dir, w.why)
	}
	if full := s.starved(); full != nil {
		return fmt.Errorf("%w until there is room in %s; sagas in progress continue until the reserve is used up: %w", store.ErrFull, dir, full)
	}
	if took := time.Since(w.since); w.what == WaitingCheckpoint && took > waitLimit {
		return fmt.Errorf("commits have waited for a checkpoint for %s: the disk of %s is too slow", took.Round(time.Second), dir)
	}
	return nil
}

// Discard implements store.Store. The messages are hidden at once. The next record takes them along,
// after a second at the latest.
func (s *Store) Discard(ctx context.Context, ids []outbox.ID) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	for _, id := range ids {
		s.discarded[id] = struct{}{}
	}
	many := len(s.discarded) >= MaxDiscarded
	s.mu.Unlock()
	if many {
		return s.write(ctx, func(*group) error { return nil })
	}
	signal(s.hasDiscards)
	return nil
}

// takeDiscards returns the discarded messages that are not in the log.
func (s *Store) takeDiscards() []outbox.ID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.discarded))
}

// forgetDiscards removes messages that are in the log, or were not pending.
func (s *Store) forgetDiscards(ids []outbox.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.discarded, id)
	}
}

// hidden returns the messages that Discard was called with and that are not in the log yet.
func (s *Store) hidden() map[outbox.ID]struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.discarded)
}
