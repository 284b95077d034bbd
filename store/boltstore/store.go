package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
)

var _ store.Store = (*Store)(nil)

// Store is a store in one file. Open returns one.
type Store struct {
	options  Options
	db       *bolt.DB
	info     Info
	counters counters

	requests chan *request
	closing  chan struct{} // closed by Close
	stopped  chan struct{} // closed when the committer has stopped
	close    sync.Once
	closeErr error

	mu       sync.Mutex
	broken   error                      // ErrBroken with its cause
	counts   map[tally]int              // as committed; the number of sagas per definition and class
	unsettle map[outbox.ID]struct{}     // discarded records; the discard is not yet on disk
	owing    map[outbox.Destination]int // number of records in the bucket owed

	// failCommit lets tests inject a failure between the last write and the commit.
	failCommit func() error

	swept [][]byte // keys in tableOwed to be removed; used by the committer only
	stuck bool     // bbolt panicked and holds its write lock; used by the committer only
}

// Info describes the file of a store.
type Info struct {
	ID          string   // id of the store; a restored backup keeps it
	Incarnation uint64   // how often the store was restored from a backup
	Created     int64    // nanoseconds since 1970
	Schema      int      // version of the layout
	Features    []string // features beyond the layout; "sealed": created with keys
	Path        string
}

// Info returns what the file recorded about itself when it was opened.
func (s *Store) Info() Info { return s.info }

// Close commits the queued requests, writes pending discards and closes the file. A second call
// has no effect.
func (s *Store) Close() error {
	s.close.Do(func() {
		close(s.closing)
		<-s.stopped
		if s.stuck {
			s.closeErr = fmt.Errorf("close %s: the file is damaged and stays locked until the process ends", s.info.Path)
			return
		}
		if err := s.db.Close(); err != nil {
			s.closeErr = fmt.Errorf("close %s: %w", s.info.Path, err)
		}
	})
	return s.closeErr
}

// writable returns nil if the store accepts changes, and otherwise the reason why not.
func (s *Store) writable(ctx context.Context) error {
	if err := s.usable(ctx); err != nil || !s.options.readOnly {
		return err
	}
	return ErrReadOnly
}

// usable returns nil if the store can be used, and otherwise the reason why not.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// breakDown makes every later call fail with ErrBroken, and returns that error. The first cause is
// kept.
func (s *Store) breakDown(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = fmt.Errorf("%w: %w", store.ErrBroken, cause)
	}
	return s.broken
}

// report counts a damaged record that is skipped, and passes the error to Options.OnCorrupt.
func (s *Store) report(err error) {
	if errors.Is(err, store.ErrCorrupt) {
		s.counters.met(err)
	} else {
		s.counters.note(err.Error(), "")
	}
	if s.options.OnCorrupt != nil {
		s.options.OnCorrupt(err)
	}
}

// view runs fn in a read transaction. If damage to the file's structure makes bbolt panic or read
// outside the file, view returns a *store.CorruptError.
func (s *Store) view(ctx context.Context, fn func(tx *bolt.Tx) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.read(fn)
}

// read does the same as view, but does not check first that the store is usable.
func (s *Store) read(fn func(tx *bolt.Tx) error) error {
	err := guard(func() error { return s.db.View(fn) })
	s.counters.met(err)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// guard runs fn. If fn panics, or faults while it reads the mapped file, guard returns a
// *store.CorruptError.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &store.CorruptError{
				What: "structure of the database file",
				Why:  fmt.Sprintf("%v; stop the process and restore a backup (the restore command)", p),
			}
		}
	}()
	return fn()
}

// Check returns an error unless the store can take a commit: it must be open and not broken, and
// the disk must have enough free space (Options.MinFree).
func (s *Store) Check(ctx context.Context) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	if s.options.MinFree < 0 {
		return nil
	}
	dir := filepath.Dir(s.info.Path)
	if free, known := freeSpace(dir); known && free < s.options.MinFree {
		return fmt.Errorf("%s has %d MiB left, less than %d MiB: make room before commits fail",
			dir, free>>20, s.options.MinFree>>20)
	}
	if _, err := os.Stat(s.info.Path); err != nil {
		return fmt.Errorf("the database file was removed while in use: %w", err)
	}
	return nil
}
