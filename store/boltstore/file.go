package boltstore

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/crashpoint"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store/seal"
)

// openFile opens a file that holds a state, or is empty. report is called with damage that loses nothing.
func openFile(path string, o Options, report func(error)) (*bolt.DB, error) {
	return boltfile.Open(path, boltfile.Options{
		ReadOnly: o.readOnly, Unsynced: o.unsynced, LockTimeout: o.LockTimeout, MapSize: o.MapSize, MaxSize: o.MaxSize,
		CheckLimit: o.CheckLimit, OnDamage: report,
	})
}

// making is the part of a temporary file's name that says that a state is being created.
const making = ".new-"

// create creates a state.
func create(path string, options Options) error {
	if left, err := filepath.Glob(path + making + "*"); err == nil {
		for _, name := range left { // left by a crash
			_ = os.Remove(name)
		}
	}
	options.MapSize = 0
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	self := &amendsv1.StoreRow{Store: id.String(), CreatedUnixNano: nano(options.Now()), Sealed: options.Keys != nil}
	err = boltfile.Create(path, making, func(temporary string) error {
		db, err := openFile(temporary, options, func(error) {})
		if err != nil {
			return err
		}
		err = boltfile.Guard(func() error { return db.Update(func(tx *bolt.Tx) error { return fill(tx, options.Keys, self) }) })
		if err = errors.Join(err, boltfile.Guard(db.Close)); err == nil {
			crashpoint.Here(crashpoint.FileUnnamed)
		}
		return err
	})
	if errors.Is(err, os.ErrExist) { // another process was faster
		return nil
	}
	return err
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
