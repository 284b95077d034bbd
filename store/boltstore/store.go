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

// Store is a store in one file. Open makes one.
type Store struct {
	options  Options
	db       *bolt.DB
	info     Info
	counters counters

	requests chan *request
	closing  chan struct{} // closed by Close
	stopped  chan struct{} // closed when the committer is done
	close    sync.Once
	closeErr error

	mu       sync.Mutex
	broken   error                      // ErrBroken with its cause
	counts   map[tally]int              // as committed
	unsettle map[outbox.ID]struct{}     // discarded, not yet on disk
	owing    map[outbox.Destination]int // number of records in owed

	// failCommit lets tests inject a failure between the last write and the commit.
	failCommit func() error

	swept [][]byte // keys in tableOwed to be removed; used by the committer only
	stuck bool     // bbolt panicked and holds its write lock; used by the committer only
}

// Info describes the file of a store.
type Info struct {
	ID          string   // id of the store; a restored backup keeps it
	Incarnation uint64   // how often it was restored from a backup
	Created     int64    // nanoseconds since 1970
	Schema      int      // number of the layout
	Features    []string // features beyond the layout; "sealed": it was made with keys
	Path        string
}

// Info returns what Open found in the file.
func (s *Store) Info() Info { return s.info }

// Close commits the requests that the committer has, writes pending discards and closes the file.
// A second call does nothing.
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

// writable returns the reason why the store accepts no changes, nil if it does.
func (s *Store) writable(ctx context.Context) error {
	if err := s.usable(ctx); err != nil || !s.options.readOnly {
		return err
	}
	return ErrReadOnly
}

// usable returns the reason why the store cannot be used, nil if it can.
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

// breakDown makes the store refuse everything from now on. The first cause is kept.
func (s *Store) breakDown(cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = fmt.Errorf("%w: %w", store.ErrBroken, cause)
	}
	return s.broken
}

// report counts and reports a damaged record that is skipped.
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

// read is view without the check that the store is usable.
func (s *Store) read(fn func(tx *bolt.Tx) error) error {
	err := guard(func() error { return s.db.View(fn) })
	s.counters.met(err)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// guard turns a panic of fn, or a fault while it reads the mapped file, into a
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

// Check reports whether the store can take a commit: it is open, not broken, and the disk has
// enough room (Options.MinFree).
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
		return fmt.Errorf("the database file is gone while it is in use: %w", err)
	}
	return nil
}
