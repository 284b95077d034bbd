//go:build !race

package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/storetest"
)

// slowWriter takes the header of a backup, and nothing more until it is released.
type slowWriter struct {
	bytes.Buffer
	writes   int
	released chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.writes++; w.writes > 1 {
		<-w.released
	}
	return w.Buffer.Write(p)
}

// generations replaces all sagas of a store, again and again.
type generations struct {
	t   *testing.T
	ctx context.Context // ends in virtual time, and so only if everything waits
	s   *Store
	now time.Time
	ids []contract.SagaID
}

// next removes the sagas and the tombstones of those before, starts and ends as many again, and writes a
// checkpoint. It returns how much of the file was ever used, and how much checkpoints have written.
func (g *generations) next() (reached, written int64) {
	g.now = g.now.Add(time.Hour)
	for range 2 { // first the sagas, and then their tombstones
		if _, _, err := g.s.Expire(g.ctx, g.now, g.now, 0); err != nil {
			g.t.Fatal(err)
		}
	}
	for _, id := range g.ids {
		start := storetest.Start(id, storetest.Checkout, g.now)
		accept(g.t, g.s, start, storetest.Reject(start.Instance, g.now))
	}
	if err := g.s.Checkpoint(g.ctx); err != nil {
		g.t.Fatal(err)
	}
	space, err := g.s.Space(g.ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	return space.Reached, int64(g.s.Stats().CheckpointBytes)
}

// TestSlowBackup takes a backup whose reader stands still during 20 checkpoints that replace all sagas. Commits
// and checkpoints go on. Meanwhile the file grows, but by no more than checkpoints write; this space is used
// again afterwards. The backup is the store as it was when the backup began.
func TestSlowBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // virtual
		defer cancel()
		o := testOptions(Options{manual: true, pieceSagas: 20})
		o.MapSize = 256 << 20 // a file that outgrows it waits for the backup
		s, err := Open(filepath.Join(t.TempDir(), "sagas.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.abort() }()
		g := &generations{t: t, ctx: ctx, s: s, now: storetest.Epoch}
		for i := range 50 {
			g.ids = append(g.ids, contract.SagaID(fmt.Sprintf("order-%d", i)))
		}
		before, writtenBefore := g.next()
		now, want := g.now, contentsOf(t, s, g.ids, g.now)
		w, done := &slowWriter{released: make(chan struct{})}, make(chan error, 1)
		go func() {
			_, err := s.Backup(ctx, w)
			done <- err
		}()
		synctest.Wait() // the backup waits for its reader
		var reached, written int64
		for range 20 {
			reached, written = g.next()
		}
		if grown := reached - before; w.writes != 2 || grown <= 0 || grown > written-writtenBefore {
			t.Errorf("while the backup made %d writes, checkpoints wrote %d bytes, and the file grew by %d",
				w.writes, written-writtenBefore, grown)
		}
		close(w.released)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if again, _ := g.next(); again > reached {
				t.Errorf("after the backup, the file grew from %d to %d bytes", reached, again)
			}
		}
		path := filepath.Join(t.TempDir(), "restored.db")
		if err := Restore(t.Context(), &w.Buffer, path, RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		restored := reopened(t, path, Options{manual: true})
		defer restored.abort()
		if diff := cmp.Diff(want, contentsOf(t, restored, g.ids, now), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the backup (-as it began +restored):\n%s", diff)
		}
		if err := errors.Join(s.Verify(t.Context()), restored.Verify(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowBackupIsGivenUp takes a backup whose reader stands still while checkpoints replace all sagas: it is
// given up when the file has grown too much, or when a checkpoint has to wait for it, long before its reader
// goes on. Then the file grows no more.
func TestSlowBackupIsGivenUp(t *testing.T) {
	for name, o := range map[string]Options{
		"grown by":                {backupGrowth: 2 << 20},
		"a checkpoint has waited": {backupWait: 100 * time.Millisecond},
	} {
		o.manual, o.pieceSagas, o.backupCheck = true, 20, time.Millisecond
		o = testOptions(o)
		if o.backupGrowth > 0 {
			o.MapSize = 256 << 20 // the file does not outgrow it
		}
		s, err := Open(filepath.Join(t.TempDir(), "sagas.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.abort()
		g := &generations{t: t, ctx: t.Context(), s: s, now: storetest.Epoch}
		for i := range 50 {
			g.ids = append(g.ids, contract.SagaID(fmt.Sprintf("order-%d", i)))
		}
		g.next()
		w, done := &slowWriter{released: make(chan struct{})}, make(chan error, 1)
		go func() {
			_, err := s.Backup(t.Context(), w)
			done <- err
		}()
		for s.db.Stats().OpenTxN == 0 { // its snapshot
			runtime.Gosched()
		}
		most := int64(0)
		for s.db.Stats().OpenTxN > 0 {
			most, _ = g.next()
		}
		for range 5 {
			if again, _ := g.next(); again > most+1<<20 {
				t.Errorf("%s: after the backup was given up, the file grew from %d to %d bytes", name, most, again)
			}
		}
		close(w.released)
		if err := <-done; !errors.Is(err, ErrSlowBackup) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBackupGivenUp gives up a backup while its checkpoint is under way. It keeps no snapshot.
func TestBackupGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		opened, returned := false, make(chan struct{})
		o := testOptions(Options{manual: true})
		o.step = func(step string) {
			if opened && step == "released" { // the backup is about to take its snapshot
				cancel()
				<-returned
			}
		}
		s, err := Open(filepath.Join(t.TempDir(), "sagas.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		opened = true
		if n, err := s.Backup(ctx, new(bytes.Buffer)); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("Backup: %d bytes, %v", n, err)
		}
		close(returned)
		synctest.Wait()
		if n := s.db.Stats().OpenTxN; n == 0 {
			s.abort()
			return
		}
		t.Error("the backup has returned, and keeps its snapshot")
		close(s.closing) // Close would wait for the snapshot
		if err := s.log.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRestoredStoreGoesOn restores a backup with a change that was committed while its checkpoint was written, and is
// newer than the mark. Changes of the restored store are newer still.
func TestRestoredStoreGoesOn(t *testing.T) {
	var s *Store
	var late []store.Change
	o := testOptions(Options{manual: true, pieceSagas: 1})
	o.step = func(step string) {
		if step != "piece" || late == nil {
			return
		}
		results, err := s.Commit(t.Context(), late)
		if err = errors.Join(append(results, err)...); err != nil {
			t.Error(err)
		}
		late = nil
	}
	var err error
	if s, err = Open(filepath.Join(t.TempDir(), "sagas.db"), o); err != nil {
		t.Fatal(err)
	}
	defer s.abort()
	first := storetest.Start("order-1", storetest.Checkout, storetest.Epoch) // is written first
	second := storetest.Start("order-2", storetest.Checkout, storetest.Epoch.Add(time.Second))
	accept(t, s, first, second)
	change := storetest.Next(second.Instance, storetest.Epoch.Add(time.Minute))
	late = []store.Change{change}
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "restored.db")
	if err := Restore(t.Context(), &backup, path, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	restored := reopened(t, path, Options{manual: true})
	defer restored.abort()
	for range 2 {
		if in, err := restored.Load(t.Context(), "order-2"); err != nil || !cmp.Equal(in, change.Instance) {
			t.Errorf("revision %d is acknowledged: %v, %v", change.Instance.Revision, in, err)
		}
		change = storetest.Next(change.Instance, storetest.Epoch.Add(time.Hour))
		accept(t, restored, change)
	}
}

// segmentsIn returns the content of the segments in a directory, the first one first.
func segmentsIn(t *testing.T, dir string) (all string) {
	t.Helper()
	names, err := filepath.Glob(dir + "/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments in %s (%v)", dir, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all += string(data)
	}
	return all
}

// TestRestoreMovesTheLogAside restores a backup twice where a state was lost, but not its log. Each log stays as
// it was, under another name; the restored store has a new one, with a new id, and refuses the old ones.
func TestRestoreMovesTheLogAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	s := reopened(t, path, Options{manual: true})
	accept(t, s, storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	logs := map[log.ID]bool{s.log.ID(): true}
	aside := map[string]string{}
	for n := range 2 {
		accept(t, s, storetest.Start("order-2", storetest.Checkout, storetest.Epoch))
		s.abort()
		name := fmt.Sprintf("%s.log.before-restore-%d", path, n+1)
		aside[name] = segmentsIn(t, path+".log")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := Restore(t.Context(), bytes.NewReader(backup.Bytes()), path, RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		s = reopened(t, path, Options{manual: true})
		if id := s.log.ID(); logs[id] {
			t.Errorf("the log %s is used again", id)
		}
		logs[s.log.ID()] = true
		if _, err := s.Load(t.Context(), "order-1"); err != nil {
			t.Error(err)
		}
		for name, want := range aside {
			if segmentsIn(t, name) != want {
				t.Errorf("%s is not as it was", name)
			}
		}
	}
	s.abort()
	for name := range aside {
		if err := errors.Join(os.RemoveAll(path+".log"), os.CopyFS(path+".log", os.DirFS(name))); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, testOptions(Options{})); !errors.Is(err, log.ErrForeign) {
			t.Errorf("with %s: %v", name, err)
		}
	}
}
