package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/amends-dev/amends/internal/boltcheck"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store"
)

// Errors of Open.
var (
	// ErrLocked means that another process has opened the file.
	ErrLocked = errors.New("already open in another process")
	// ErrLater means that a later release wrote the file.
	ErrLater = errors.New("written by a later release")
	// ErrForeign means that the file is not an Amends store.
	ErrForeign = errors.New("not an Amends store")
	// ErrDamaged means that the file is too damaged to be opened.
	ErrDamaged = errors.New("the database file is damaged")
)

// ErrReadOnly is returned by methods that write if the store was opened by OpenReadOnly.
var ErrReadOnly = errors.New("the store is open for reading only")

// Open opens the store in the file at path, and creates the file if it does not exist; the
// directory must exist. This process locks the file until Close. Open returns ErrLocked if another
// process has locked the file, ErrDamaged if a backup must be restored with Restore, ErrLater or
// ErrForeign if this release must not touch the file, seal.ErrKey if Options.Keys lacks a key, and
// seal.ErrPlain if keys are given but the file is not sealed.
func Open(path string, options Options) (*Store, error) {
	s, err := open(path, options)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	go s.commitLoop()
	return s, nil
}

// OpenReadOnly opens the store in the file at path for reading or copying, and never changes the
// file. Methods that write return ErrReadOnly. OpenReadOnly returns os.ErrNotExist if there is no
// file, ErrLocked if another process may write to the file, and otherwise the same errors as Open.
func OpenReadOnly(path string, options Options) (*Store, error) {
	s, err := openReadOnly(path, options)
	if err != nil {
		return nil, fmt.Errorf("open store %s for reading: %w", path, err)
	}
	close(s.stopped) // there is no committer
	return s, nil
}

func openReadOnly(path string, options Options) (*Store, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrForeign)
	}
	options.readOnly = true
	s := newStore(path, options)
	if s.db, err = openFile(path, options, s.report); err != nil {
		return nil, err
	}
	if err := guard(s.lookOver); err != nil {
		_ = guard(s.db.Close)
		return nil, err
	}
	return s, nil
}

// newStore returns a store without a file.
func newStore(path string, options Options) *Store {
	return &Store{
		options:  options,
		requests: make(chan *request, MaxQueue),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
		counts:   map[tally]int{},
		unsettle: map[outbox.ID]struct{}{},
		owing:    map[outbox.Destination]int{},
		info:     Info{Path: path},
	}
}

// open does all the work of Open except starting the committer.
func open(path string, options Options) (*Store, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	s := newStore(path, options)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := makeFile(path, options); err != nil {
			return nil, fmt.Errorf("create the store: %w", err)
		}
	}
	if s.db, err = openFile(path, options, s.report); err != nil {
		return nil, err
	}
	if err := guard(s.prepareFile); err != nil {
		_ = guard(s.db.Close)
		return nil, err
	}
	return s, nil
}

// openFile runs the checks that bbolt omits, and opens the database.
func openFile(path string, options Options, report func(error)) (*bolt.DB, error) {
	if err := precheck(path, options, report); err != nil {
		return nil, err
	}
	var size int64
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	var file *os.File
	var db *bolt.DB
	err := guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			ReadOnly:        options.readOnly,
			Timeout:         options.LockTimeout,
			FreelistType:    bolt.FreelistMapType,
			MmapFlags:       mapFlags(size),
			InitialMmapSize: options.MapSize,
			MaxSize:         options.MaxSize,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				file = f
				return f, err
			},
		})
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: stop that process first; only one process can use a store", ErrLocked)
	case errors.As(err, new(*os.PathError)):
		return nil, err
	default:
		if errors.As(err, new(*store.CorruptError)) { // bbolt panicked and left the file open and locked
			unlock(file)
			_ = file.Close()
		}
		return nil, damaged(err)
	}
	return db, nil
}

func damaged(err error) error {
	return fmt.Errorf("%w: %w: restore a backup, and keep this file for inspection", ErrDamaged, err)
}

// precheck checks the file before bbolt reads it. It skips a locked file, because the owner may
// change the pages during the check; bbolt then waits for the lock.
func precheck(path string, options Options, report func(error)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if !tryLock(file) {
		return nil
	}
	defer unlock(file)
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	return checkFile(file, info.Size(), options, report)
}

// checkFile checks the two root pages, that the file is as long as the newer root says, and that its
// pages are intact.
func checkFile(file *os.File, size int64, options Options, report func(error)) error {
	roots := boltcheck.Roots(file)
	switch {
	case len(roots) == 0:
		return damaged(errors.New("no root page can be read"))
	case len(roots) == 1 && !options.AcceptDamagedRoot:
		return fmt.Errorf("%w: one of its two root pages cannot be read, so that acknowledged commits may be missing: "+
			"restore a backup, or open it with AcceptDamagedRoot", ErrDamaged)
	}
	want := roots[0].Size()
	if size < want {
		return damaged(fmt.Errorf("it is %s long instead of %d", plural.Of(size, "byte", "bytes"), want))
	}
	if options.CheckLimit < 0 || want > options.CheckLimit {
		return nil
	}
	err := roots[0].Check(file, func(page uint64, err error) {
		report(&store.CorruptError{What: fmt.Sprintf("page %d", page), Why: err.Error()})
	})
	if err != nil {
		return damaged(err)
	}
	return nil
}

// prepareFile reads the metadata of the store, or writes it to a new file, and deletes the
// discarded outbox records that a crash left in the file.
func (s *Store) prepareFile() error {
	fresh := false
	err := s.db.View(func(tx *bolt.Tx) error {
		fresh = tx.Cursor().Bucket() != nil && isEmpty(tx)
		if !fresh && tx.Bucket([]byte(tableMeta.name)) == nil {
			return incomplete(tx, "the table "+tableMeta.name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if fresh {
		if err := s.db.Update(s.create); err != nil {
			return err
		}
	}
	if err := s.readSelf(); err != nil {
		return err
	}
	if err := s.noteKey(); err != nil {
		return err
	}
	if err := s.db.View(s.readCounts); err != nil {
		return err
	}
	crashpoint.Here(crashpoint.BeforeSweep)
	return s.sweepLeftovers()
}

// readSelf reads the metadata of the store.
func (s *Store) readSelf() error {
	if err := s.db.View(s.readMeta); err != nil {
		return err
	}
	return s.db.View(s.checkKeys)
}

// lookOver does the work of prepareFile for a file that must not be changed.
func (s *Store) lookOver() error {
	err := s.db.View(func(tx *bolt.Tx) error {
		if tx.Bucket([]byte(tableMeta.name)) == nil {
			return incomplete(tx, "the table "+tableMeta.name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.readSelf(); err != nil {
		return err
	}
	if err := s.db.View(s.readCounts); err != nil {
		return err
	}
	return s.db.View(func(tx *bolt.Tx) error { s.countOwed(tx); return nil })
}

// incomplete returns the error for a file that lacks what every store has. If it has another table
// of a store, it is a damaged store. Otherwise it belongs to another program.
func incomplete(tx *bolt.Tx, missing string) error {
	for _, t := range tables {
		if t.name != tableMeta.name && tx.Bucket([]byte(t.name)) != nil {
			return damaged(fmt.Errorf("%s is missing", missing))
		}
	}
	return fmt.Errorf("%w: %s is missing", ErrForeign, missing)
}

func isEmpty(tx *bolt.Tx) bool {
	k, _ := tx.Cursor().First()
	return k == nil
}

// readMeta checks that the file is an Amends store and fills Info.
func (s *Store) readMeta(tx *bolt.Tx) error {
	c := tableMeta.cursor(tx)
	number := func(key string) (uint64, error) {
		body, err := tableMeta.get(c, []byte(key))
		if err == nil && body == nil {
			err = incomplete(tx, "the entry "+key)
		}
		if err != nil {
			return 0, err
		}
		r := reader{b: body}
		return r.uvarint(), r.err
	}
	schema, err := number(metaSchema)
	if err != nil {
		return err
	}
	if schema > schemaVersion {
		return fmt.Errorf("%w: its layout is %d, but this release supports %d: use the later release, or restore a backup made by this release",
			ErrLater, schema, schemaVersion)
	}
	if schema < schemaVersion {
		return fmt.Errorf("%w: its layout is 0, but layouts are numbered from %d", ErrForeign, schemaVersion)
	}
	created, err := number(metaCreated)
	if err != nil {
		return err
	}
	incarnation, err := number(metaIncarnation)
	if err != nil {
		return err
	}
	id, err := tableMeta.get(c, []byte(metaStore))
	if err != nil {
		return err
	}
	if s.info.Features, err = readFeatures(c); err != nil {
		return err
	}
	s.info.Schema, s.info.Created, s.info.Incarnation, s.info.ID = int(schema), int64(created), incarnation, string(id)
	for _, t := range tables {
		t.bucket(tx) // panics if the bucket is missing; guard returns that as an error
	}
	return nil
}

// readFeatures returns the features that the file records. It returns ErrLater if this release does
// not know a feature.
func readFeatures(c *bolt.Cursor) (has []string, err error) {
	var unknown []string
	for k, v := c.Seek([]byte(metaFeature)); k != nil && bytes.HasPrefix(k, []byte(metaFeature)); k, v = c.Next() {
		if _, err := tableMeta.open(k, v); err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(string(k), metaFeature)
		if !slices.Contains(features, name) {
			unknown = append(unknown, name)
		}
		has = append(has, name)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%w: it uses %s, which this release does not support: use the later release, or restore a backup made by this release",
			ErrLater, strings.Join(unknown, ", "))
	}
	return has, nil
}
