package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/crashpoint"
)

// making is the pattern of the suffix that a store's file name has while the file is being created.
const making = ".new-*"

// makeFile creates a new store in a temporary file, and renames the file once it is completely on
// disk. So a power cut leaves either no store or a usable one.
func makeFile(path string, options Options) (err error) {
	dir := filepath.Dir(path)
	if left, err := filepath.Glob(filepath.Join(dir, filepath.Base(path)+making)); err == nil {
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
	s := &Store{options: options}
	if s.db, err = openFile(f.Name(), options, s.report); err != nil {
		return err
	}
	err = guard(func() error { return s.db.Update(s.create) })
	if err = errors.Join(err, guard(s.db.Close)); err != nil {
		return err
	}
	crashpoint.Here(crashpoint.FileUnnamed)
	if err := give(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) { // ErrExist: another process was faster
		return err
	}
	return syncDir(dir)
}

// give creates a hard link to file at name, and returns an os.ErrExist error if name exists. If
// linking fails for another reason, such as a file system without hard links, it renames the file
// instead, which replaces an existing one. The caller removes the old name.
func give(file, name string) error {
	err := os.Link(file, name)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return os.Rename(file, name)
	}
	return err
}

// noteFeature records that the file has a feature.
func noteFeature(tx *bolt.Tx, name string) error {
	return tableMeta.put(tableMeta.bucket(tx), []byte(metaFeature+name), []byte{1})
}

// create creates the buckets of a new file.
func (s *Store) create(tx *bolt.Tx) error {
	for _, t := range tables {
		if _, err := tx.CreateBucket([]byte(t.name)); err != nil {
			return err
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	b, keys := tableMeta.bucket(tx), s.options.Keys
	if keys != nil {
		if err := errors.Join(putKey(b, keys), noteFeature(tx, featureSealed)); err != nil {
			return err
		}
	}
	return errors.Join(
		tableMeta.put(b, []byte(metaSchema), binary.AppendUvarint(nil, schemaVersion)),
		tableMeta.put(b, []byte(metaStore), []byte(id.String())),
		tableMeta.put(b, []byte(metaCreated), binary.AppendUvarint(nil, uint64(s.options.Now().UnixNano()))),
		tableMeta.put(b, []byte(metaIncarnation), binary.AppendUvarint(nil, 0)),
	)
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
