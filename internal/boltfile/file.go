package boltfile

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/amends-dev/amends/internal/boltcheck"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/store"
)

// Errors of Open.
var (
	// ErrLocked means that another process has opened the file.
	ErrLocked = errors.New("already open in another process")
	// ErrDamaged means that the file is too damaged to be opened.
	ErrDamaged = errors.New("the state is damaged")
)

// Options configure how a file is opened.
type Options struct {
	ReadOnly    bool
	Unsynced    bool          // for tests: do not sync the file
	LockTimeout time.Duration // how long Open waits for another process to unlock the file
	MapSize     int           // address space reserved for the file, in bytes; 0 means what bbolt chooses
	MaxSize     int           // bound of the file in bytes; 0 means no bound
	CheckLimit  int64         // file size, in bytes, up to which every page is checked

	// OnDamage is called with what is damaged, although the file can be used.
	OnDamage func(error)
}

// Open opens a file, which must exist and may be empty. It returns ErrLocked if another
// process has locked the file, an *os.PathError if the system does not open it, and else ErrDamaged.
func Open(path string, o Options) (*bolt.DB, error) {
	size, err := precheck(path, &o)
	if err != nil {
		return nil, err
	}
	var file *os.File
	var db *bolt.DB
	err = Guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			ReadOnly:        o.ReadOnly,
			NoSync:          o.Unsynced,
			Timeout:         o.LockTimeout,
			FreelistType:    bolt.FreelistMapType,
			MmapFlags:       mapFlags(size),
			InitialMmapSize: o.MapSize,
			MaxSize:         o.MaxSize,
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
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: stop that process first; only one process can use a store", ErrLocked)
	case errors.As(err, new(*os.PathError)):
		return nil, err
	case errors.As(err, new(*store.CorruptError)): // bbolt panicked and left the file open and locked
		unlock(file)
		_ = file.Close()
	}
	return nil, Damaged(err)
}

// Damaged wraps an error that makes a file unusable in ErrDamaged.
func Damaged(err error) error {
	return fmt.Errorf("%w: %w: restore a backup, and keep this file for inspection", ErrDamaged, err)
}

// precheck checks the file before bbolt reads it, and returns its size. It skips a locked file, because
// the owner may change the pages during the check; bbolt then waits for the lock.
func precheck(path string, o *Options) (size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	locked := tryLock(file)
	if locked {
		defer unlock(file)
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if locked && info.Size() > 0 {
		err = check(file, info.Size(), o)
	}
	return info.Size(), err
}

// check checks the root pages, that the file is as long as the newer one says, and that its pages are
// intact. With one damaged root page, bbolt uses the older one.
func check(file *os.File, size int64, o *Options) error {
	roots := boltcheck.Roots(file)
	switch len(roots) {
	case 0:
		return Damaged(errors.New("no root page can be read"))
	case 1:
		o.OnDamage(errors.New("one of the two root pages of the state cannot be read: the log makes up for what the other one lacks"))
	}
	want := roots[0].Size()
	if size < want {
		return Damaged(fmt.Errorf("it is %s long instead of %d", plural.Of(size, "byte", "bytes"), want))
	}
	if want > o.CheckLimit {
		return nil
	}
	err := roots[0].Check(file, func(page uint64, err error) {
		o.OnDamage(&store.CorruptError{What: fmt.Sprintf("page %d", page), Why: err.Error()})
	})
	if err != nil {
		return Damaged(err)
	}
	return nil
}

// Guard runs fn. If fn panics, or faults while it reads the mapped file, Guard returns a
// *store.CorruptError.
func Guard(fn func() error) (err error) {
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
