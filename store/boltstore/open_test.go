package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	fails := func(name, path string, want error) {
		t.Helper()
		s, err := boltstore.Open(path, boltstore.Options{LockTimeout: time.Millisecond})
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
	path := filepath.Join(dir, "store.db")
	s := open(t, path, boltstore.Options{})
	fails("a file that is in use", path, boltstore.ErrLocked)
	if err := s.SetSchema(boltstore.Schema + 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fails("a file of a later release", path, boltstore.ErrLater)
	fails("the same again", path, boltstore.ErrLater) // not ErrLocked, because the lock was released
	later := filepath.Join(dir, "later.db")
	s = open(t, later, boltstore.Options{})
	if err := errors.Join(s.NoteFeature("teleport"), s.NoteFeature("loop"), s.Close()); err != nil {
		t.Fatal(err)
	}
	fails("a file with features of a later release", later, boltstore.ErrLater)
	if _, err := boltstore.Open(later, boltstore.Options{}); err == nil || !strings.Contains(err.Error(), "it uses loop, teleport, which") {
		t.Errorf("the features are not named: %v", err)
	}
	fails("a directory that is not there", filepath.Join(dir, "no", "store.db"), os.ErrNotExist)

	foreign := filepath.Join(dir, "foreign.db")
	db, err := bolt.Open(foreign, 0o600, nil)
	if err == nil {
		err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("users")); return err })
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	fails("another program's database", foreign, boltstore.ErrForeign)
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, bytes.Repeat([]byte("hello\n"), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("a text file", text, boltstore.ErrDamaged)
	if _, err := boltstore.Open(filepath.Join(dir, "x.db"), boltstore.Options{MaxGroup: -1}); err == nil {
		t.Error("a negative option was taken")
	}
}

// TestDamagedRoot checks that Open refuses a damaged root, with which the newest commit may be
// lost, unless AcceptDamagedRoot is set.
func TestDamagedRoot(t *testing.T) {
	f := newSample(t, 20)
	path := filepath.Join(t.TempDir(), "store.db")
	for page := range 2 {
		data := bytes.Clone(f.file)
		data[page*4096+40] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := boltstore.Open(path, boltstore.Options{}); !errors.Is(err, boltstore.ErrDamaged) {
			t.Errorf("root %d damaged: %v, want ErrDamaged", page, err)
		}
		s, err := boltstore.Open(path, boltstore.Options{AcceptDamagedRoot: true})
		if err != nil {
			t.Fatalf("root %d damaged and accepted: %v", page, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"), boltstore.Options{})
	for i := range 50 {
		apply(t, s, storetest.Start(orderID(i), storetest.Checkout, storetest.Epoch))
	}
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	whole := backup.Bytes()
	target := filepath.Join(dir, "restored.db")
	fails := func(name string, data []byte, want error) {
		t.Helper()
		err := boltstore.Restore(t.Context(), bytes.NewReader(data), target, boltstore.RestoreOptions{})
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if left, _ := filepath.Glob(target + "*"); len(left) > 0 {
			t.Errorf("%s: %v was left behind", name, left)
		}
	}
	for _, n := range []int{0, 5, 19, 20, 21, 5000, len(whole) / 2, len(whole) - 41, len(whole) - 40, len(whole) - 8, len(whole) - 1} {
		fails("a truncated backup", whole[:n], boltstore.ErrBackup)
	}
	for _, at := range []int{0, 9, 17, 25, 5000, len(whole) / 2, len(whole) - 20, len(whole) - 1} {
		changed := bytes.Clone(whole)
		changed[at] ^= 4
		fails("a changed backup", changed, boltstore.ErrBackup)
	}
	file, err := os.ReadFile(filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	fails("a database file", file, boltstore.ErrBackup)

	if err := s.Damage("sagas", []byte(orderID(3)), 4); err != nil {
		t.Fatal(err)
	}
	var sick bytes.Buffer
	if _, err := s.Backup(t.Context(), &sick); err != nil {
		t.Fatal(err)
	}
	fails("a backup of a damaged store", sick.Bytes(), store.ErrCorrupt)
	if err := s.Damage("sagas", []byte(orderID(7)), 4); err != nil {
		t.Fatal(err)
	}
	sick.Reset()
	if _, err := s.Backup(t.Context(), &sick); err != nil {
		t.Fatal(err)
	}
	takeDamaged(t, sick.Bytes(), filepath.Join(dir, "sick.db"))

	var seen []int64
	progress := func(n int64) { seen = append(seen, n) }
	if err := boltstore.Restore(t.Context(), bytes.NewReader(whole), target, boltstore.RestoreOptions{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 || seen[len(seen)-1] != int64(len(whole)-60) {
		t.Errorf("progress said %v of %d bytes", seen, len(whole))
	}
	if err := boltstore.Restore(t.Context(), bytes.NewReader(whole), target, boltstore.RestoreOptions{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("restore over a store: %v, want ErrExist", err)
	}
	restored := open(t, target, boltstore.Options{})
	if a, b := s.Info(), restored.Info(); a.ID != b.ID || b.Incarnation != a.Incarnation+1 || a.ID == "" {
		t.Errorf("the restored store is %+v, it was %+v", b, a)
	}
}

// takeDamaged restores a backup in which orders 3 and 7 are damaged, with OnDamaged set. It checks
// that both are reported and that every other saga is there.
func takeDamaged(t *testing.T, backup []byte, path string) {
	t.Helper()
	var damage []error
	err := boltstore.Restore(t.Context(), bytes.NewReader(backup), path, boltstore.RestoreOptions{OnDamaged: func(err error) { damage = append(damage, err) }})
	if err != nil {
		t.Fatal(err)
	}
	if said := fmt.Sprint(damage); !strings.Contains(said, string(orderID(3))) || !strings.Contains(said, string(orderID(7))) || strings.Contains(said, string(orderID(4))) {
		t.Errorf("it was told of %v", damage)
	}
	s := open(t, path, boltstore.Options{})
	for i := range 50 {
		_, err := s.Load(t.Context(), orderID(i))
		if sick := i == 3 || i == 7; sick != errors.Is(err, store.ErrCorrupt) || !sick && err != nil {
			t.Errorf("saga %d of the restored store: %v", i, err)
		}
	}
	results, err := s.Commit(t.Context(), []store.Change{storetest.Start(orderID(3), storetest.Checkout, storetest.Epoch)})
	if err != nil || !errors.Is(results[0], store.ErrCorrupt) {
		t.Errorf("a damaged saga was started again: %v, %v", results, err)
	}
	if s.Stats().Damaged != 3 {
		t.Errorf("%d damaged records are counted, 3 were met", s.Stats().Damaged)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path += ".cut-short" // the name during verification: an unverified backup is not accepted
	err = boltstore.Restore(ctx, bytes.NewReader(backup), path, boltstore.RestoreOptions{OnDamaged: func(error) {}, Progress: func(int64) { cancel() }})
	if _, there := os.Stat(path); !errors.Is(err, context.Canceled) || there == nil {
		t.Errorf("a restore that was cut short: %v, and the store: %v", err, there)
	}
}

// TestBackupStopsAtClose checks that a blocked backup ends when the store closes.
func TestBackupStopsAtClose(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), boltstore.Options{})
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := s.Backup(t.Context(), w)
		done <- err
	}()
	if _, err := io.ReadFull(r, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for s.Check(t.Context()) == nil { // until Close has started
		time.Sleep(time.Millisecond)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if err := <-done; !errors.Is(err, store.ErrClosed) {
		t.Errorf("the backup ended with %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	_ = w.Close()
}
