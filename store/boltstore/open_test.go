//go:build !race

package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/storetest"
)

// TestOpenRefuses checks the errors of files that are not a usable store. Each names the file.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	fails := func(name, path string, want error) {
		t.Helper()
		s, err := Open(path, testOptions(Options{LockTimeout: time.Millisecond}))
		if err == nil {
			s.abort()
		}
		if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	path := filepath.Join(dir, "sagas.db")
	s := reopened(t, path, Options{})
	fails("a store in use", path, ErrLocked)
	s.abort()
	for schema, want := range map[uint64]error{schemaVersion - 1: ErrForeign, schemaVersion + 1: ErrLater} {
		db, err := bolt.Open(path, 0o600, nil)
		if err == nil {
			err = db.Update(func(tx *bolt.Tx) error {
				return tableMeta.put(tx, []byte(metaSchema), binary.AppendUvarint(nil, schema))
			})
		}
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		fails("a store of another release", path, want)
		fails("the same again", path, want) // not ErrLocked, because the lock was released
	}
	fails("a directory that does not exist", filepath.Join(dir, "no", "sagas.db"), os.ErrNotExist)
	foreign := filepath.Join(dir, "foreign.db")
	db, err := bolt.Open(foreign, 0o600, nil)
	if err == nil {
		err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("users")); return err })
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	fails("another program's database", foreign, ErrForeign)
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, bytes.Repeat([]byte("hello\n"), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("a text file", text, ErrDamaged)
	if _, err := Open(filepath.Join(dir, "x.db"), Options{MaxGroup: -1}); err == nil {
		t.Error("a negative option is accepted")
	}
}

// TestLogWithoutItsState checks that no state is created beside a log with records: the state that belongs to it may
// be put back. A log without records, which a crash of the first start leaves, is no reason to refuse.
func TestLogWithoutItsState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	for _, records := range []bool{false, true} {
		s := reopened(t, path, Options{manual: true})
		if records {
			accept(t, s, storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
		}
		s.abort()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		_, err := Open(path, testOptions(Options{}))
		if names, _ := filepath.Glob(path + "*"); !errors.Is(err, log.ErrForeign) || len(names) != 1 {
			t.Errorf("%v; there are %v", err, names)
		}
	}
}

// TestDamagedRoot damages each of the two root pages. Nothing may be lost, because the log makes up for what
// the older page lacks. With both, the file is refused.
func TestDamagedRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	states := filled(t, path, Options{manual: true})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	root := os.Getpagesize()
	for name, pages := range map[string][]int{"first": {0}, "second": {1}, "both": {0, 1}} {
		damaged := filepath.Join(t.TempDir(), "sagas.db")
		changed := bytes.Clone(data)
		for _, page := range pages {
			changed[page*root+40] ^= 1
		}
		if err := errors.Join(os.WriteFile(damaged, changed, 0o600), copyFiles(damaged+".log", path+".log")); err != nil {
			t.Fatal(err)
		}
		var reported []error
		o := Options{manual: true, OnCorrupt: func(err error) { reported = append(reported, err) }}
		s, err := Open(damaged, testOptions(o))
		if both := len(pages) == 2; both != errors.Is(err, ErrDamaged) || !both && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if len(reported) != 1 || !strings.Contains(reported[0].Error(), "root page") {
			t.Errorf("%s: reported %v", name, reported)
		}
		for id, want := range states {
			if in, err := s.Load(t.Context(), id); err != nil || !cmp.Equal(in, want) {
				t.Errorf("%s: %s: %v, %v", name, id, in, err)
			}
		}
		s.abort()
	}
}

// TestRestoreRefuses restores backups that are truncated, changed, damaged, or none, and leaves nothing
// behind.
func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "sagas.db"), filepath.Join(dir, "restored.db")
	filled(t, path, Options{manual: true})
	h := newHarness(t, Options{manual: true}, nil)
	c := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	accept(t, h.store, c, storetest.Start("order-2", storetest.Checkout, storetest.Epoch))
	var backup bytes.Buffer
	if _, err := h.store.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	whole := backup.Bytes()
	fails := func(name string, data []byte, want error) {
		t.Helper()
		err := Restore(t.Context(), bytes.NewReader(data), target, RestoreOptions{})
		if left, _ := filepath.Glob(target + "*"); !errors.Is(err, want) || len(left) > 0 {
			t.Errorf("%s: %v, want %v; left behind: %v", name, err, want, left)
		}
	}
	for _, n := range []int{0, 5, 19, 20, 21, 5000, len(whole) / 2, len(whole) - 41, len(whole) - 8, len(whole) - 1} {
		fails("a truncated backup", whole[:n], ErrBackup)
	}
	for _, at := range []int{0, 9, 17, 25, 5000, len(whole) / 2, len(whole) - 20, len(whole) - 1} {
		changed := bytes.Clone(whole)
		changed[at] ^= 4
		fails("a changed backup", changed, ErrBackup)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fails("a state", file, ErrBackup)
	h.damage(t, "order-1")
	var sick bytes.Buffer
	if _, err := h.store.Backup(t.Context(), &sick); err != nil {
		t.Fatal(err)
	}
	fails("a backup of a damaged store", sick.Bytes(), store.ErrCorrupt)
	var seen []error
	o := RestoreOptions{OnDamaged: func(err error) { seen = append(seen, err) }}
	if err := Restore(t.Context(), &sick, target, o); err != nil || len(seen) == 0 || !strings.Contains(seen[0].Error(), "order-1") {
		t.Fatalf("although it is damaged: %v, reported %v", err, seen)
	}
	if err := Restore(t.Context(), bytes.NewReader(whole), target, RestoreOptions{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("restored over a store: %v", err)
	}
	s := reopened(t, target, Options{})
	defer s.abort()
	if a, b := h.store.Info(), s.Info(); a.ID != b.ID || b.Incarnation != a.Incarnation+1 || a.ID == "" {
		t.Errorf("the restored store is %+v, it was %+v", b, a)
	}
	results, err := s.Commit(t.Context(), []store.Change{c})
	if _, load := s.Load(t.Context(), "order-2"); err != nil || !errors.Is(results[0], store.ErrCorrupt) || load != nil {
		t.Errorf("order-1 started again: %v, %v; order-2: %v", results, err, load)
	}
}

// TestBackupStopsAtClose checks that a blocked backup ends when the store closes.
func TestBackupStopsAtClose(t *testing.T) {
	h := newHarness(t, Options{}, nil)
	r, w := io.Pipe()
	done, closed := make(chan error), make(chan error)
	go func() {
		_, err := h.store.Backup(t.Context(), w)
		done <- err
	}()
	if _, err := io.ReadFull(r, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	go func() { closed <- h.store.Close() }()
	<-h.store.closing
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if err := <-done; !errors.Is(err, store.ErrClosed) {
		t.Errorf("the backup ended with %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	_ = w.Close()
}

// TestFailedCommitBreaksTheStore checks that nothing is tried again after a failed append, and that the next
// process goes on.
func TestFailedCommitBreaksTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	s := reopened(t, path, Options{})
	accept(t, s, storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
	failed := errors.New("input/output error")
	times := 0
	s.failAppend = func() error {
		if times++; times == 1 {
			return failed
		}
		return nil // a retry would succeed, but must not happen
	}
	next := storetest.Start("order-2", storetest.Checkout, storetest.Epoch)
	for range 2 {
		if _, err := s.Commit(t.Context(), []store.Change{next}); !errors.Is(err, store.ErrBroken) || !errors.Is(err, failed) {
			t.Errorf("Commit: %v", err)
		}
	}
	_, load := s.Load(t.Context(), "order-1")
	_, _, list := s.List(t.Context(), store.Filter{}, store.Page{})
	for name, err := range map[string]error{"Load": load, "List": list, "Check": s.Check(t.Context()), "Discard": s.Discard(t.Context(), nil)} {
		if !errors.Is(err, store.ErrBroken) || !errors.Is(err, failed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.abort()
	s = reopened(t, path, Options{})
	defer s.abort()
	accept(t, s, next)
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFailureIsNoVerdict checks that a failure of log or state breaks the store, and is not the answer to a change.
func TestFailureIsNoVerdict(t *testing.T) {
	for name, fail := range map[string]func(*Store) error{
		"log":   func(s *Store) error { return s.log.Close() },
		"state": func(s *Store) error { return s.db.Close() },
	} {
		s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), Options{manual: true})
		accept(t, s, storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
		if err := fail(s); err != nil {
			t.Fatal(err)
		}
		_, err := s.Commit(t.Context(), []store.Change{storetest.Start("order-2", storetest.Checkout, storetest.Epoch)})
		_, load := s.Load(t.Context(), "order-1")
		for call, err := range map[string]error{"Commit": err, "Load": load, "Checkpoint": s.Checkpoint(t.Context())} {
			if !errors.Is(err, store.ErrBroken) {
				t.Errorf("%s, after the %s failed: %v", call, name, err)
			}
		}
		s.abort()
	}
}

// TestASearchIsCutIntoPages searches for one saga among many by what is not indexed. The search takes several
// calls, each with a bounded amount of work (I10).
func TestASearchIsCutIntoPages(t *testing.T) {
	h := newHarness(t, Options{}, nil)
	const sagas = 2000
	changes := make([]store.Change, sagas)
	for i := range changes {
		changes[i] = storetest.Start(contract.SagaID("order-"+string(rune('a'+i%26))+strings.Repeat("x", i/26)), storetest.Checkout, storetest.Epoch.Add(time.Duration(i)*time.Second))
	}
	accept(t, h.store, changes...)
	accept(t, h.store, storetest.Park(changes[0].Instance, storetest.Epoch.Add(time.Hour))) // the last in the list
	var found []store.Summary
	pages := 0
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		list, next, err := h.store.List(t.Context(), store.Filter{Reason: "no such customer"}, store.Page{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		found, cursor = append(found, list...), next
	}
	if len(found) != 1 || found[0].ID != "order-a" || pages != 4 {
		t.Errorf("found %v, on %d pages, want 4: three that load as many as they may, and the rest", found, pages)
	}
}
