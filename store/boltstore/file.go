package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/amends-dev/amends/internal/boltcheck"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/plural"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/seal"
	"github.com/google/uuid"
)

// openFile checks what bbolt does not check, and opens the state.
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
		db.NoSync = options.unsynced
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: stop that process first; only one process can use a store", ErrLocked)
	case errors.As(err, new(*os.PathError)):
		return nil, err
	case errors.As(err, new(*store.CorruptError)): // bbolt panicked and left the file open and locked
		unlock(file)
		_ = file.Close()
	}
	return nil, damaged(err)
}

func damaged(err error) error {
	return fmt.Errorf("%w: %w: restore a backup, and keep this file for inspection", ErrDamaged, err)
}

// precheck checks the file before bbolt reads it. It skips a locked file, because the owner may change
// the pages during the check; bbolt then waits for the lock.
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

// checkFile checks the root pages, that the file is as long as the newer one says, and that its pages
// are intact. One damaged root page loses nothing: the older one is used, and the log holds the rest.
func checkFile(file *os.File, size int64, options Options, report func(error)) error {
	roots := boltcheck.Roots(file)
	switch len(roots) {
	case 0:
		return damaged(errors.New("no root page can be read"))
	case 1:
		report(errors.New("one of the two root pages of the state cannot be read: the log makes up for what the other one lacks"))
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

// making is the pattern of the suffix of a state file that is being created.
const making = ".new-*"

// create creates a state in a temporary file, and renames the file once it is completely on disk. So a
// power cut leaves either no store or a usable one.
func create(path string, options Options) (err error) {
	dir := filepath.Dir(path)
	if left, err := filepath.Glob(path + making); err == nil {
		for _, name := range left { // left by a crash
			_ = os.Remove(name)
		}
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+making)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	options.MapSize = 0
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	self := &amendsv1.StoreRow{Store: id.String(), CreatedUnixNano: nano(options.Now()), Sealed: options.Keys != nil}
	db, err := openFile(f.Name(), options, func(error) {})
	if err != nil {
		return err
	}
	err = guard(func() error { return db.Update(func(tx *bolt.Tx) error { return fill(tx, options.Keys, self) }) })
	if err = errors.Join(err, guard(db.Close)); err != nil {
		return err
	}
	crashpoint.Here(crashpoint.FileUnnamed)
	if err := linkOrRename(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) { // ErrExist: another process was faster
		return err
	}
	return syncDir(dir)
}

// fill creates the tables of a new state.
func fill(tx *bolt.Tx, keys *seal.Keys, self *amendsv1.StoreRow) error {
	for _, t := range tables {
		if _, err := tx.CreateBucket([]byte(t.name)); err != nil {
			return err
		}
	}
	return errors.Join(
		tableMeta.put(tx, []byte(metaSchema), binary.AppendUvarint(nil, schemaVersion)),
		putSelf(tx, self),
		putKey(tx, keys),
	)
}

// linkOrRename creates a hard link to file at name, and returns an os.ErrExist error if name exists. If
// linking fails for another reason, such as a file system without hard links, it renames the file
// instead, which replaces an existing one. The caller removes the old name.
func linkOrRename(file, name string) error {
	err := os.Link(file, name)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return os.Rename(file, name)
	}
	return err
}

// syncDir makes the name of a new or renamed file durable.
func syncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
