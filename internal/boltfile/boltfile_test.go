package boltfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/store"
)

// TestFiles creates a file, and opens it while it is in use, with a damaged root page, with two, and cut off.
func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	reports := 0
	options := Options{LockTimeout: time.Millisecond, CheckLimit: 1 << 30, OnDamage: func(error) { reports++ }}
	write := func(temporary string) error {
		db, err := Open(temporary, options)
		if err != nil {
			return err
		}
		return errors.Join(db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("table")); return err }), db.Close())
	}
	failed := errors.New("no")
	if err := Create(path, ".new-", func(string) error { return failed }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if err := Create(path, ".new-", write); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, ".new-", write); !errors.Is(err, os.ErrExist) {
		t.Errorf("of a file that exists: %v", err)
	}
	if names, err := filepath.Glob(path + "?*"); err != nil || len(names) > 0 {
		t.Errorf("left over: %v, %v", names, err)
	}
	db, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, options); !errors.Is(err, ErrLocked) {
		t.Errorf("in use: %v", err)
	}
	page := db.Info().PageSize
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for root := range 2 {
		data[root*page+20] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		switch db, err := Open(path, options); {
		case root == 1 && !errors.Is(err, ErrDamaged):
			t.Errorf("with two damaged root pages: %v", err)
		case root == 0 && (err != nil || reports != 1):
			t.Errorf("with a damaged root page: %v, %d reports", err, reports)
		case root == 0:
			_ = db.Close()
		}
	}
	data[20], data[page+20] = data[20]^1, data[page+20]^1
	if err := os.WriteFile(path, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, options); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut off: %v", err)
	}
}

// TestGuard checks that a panic becomes an error.
func TestGuard(t *testing.T) {
	if err := Guard(func() error { panic("page 7: unexpected flags") }); !errors.Is(err, store.ErrCorrupt) {
		t.Error(err)
	}
}
