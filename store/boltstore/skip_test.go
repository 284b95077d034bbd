//go:build !race

package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/store/storetest"
)

// poison commits changes, as the committer does, in a record whose items are altered in the log.
func poison(t testing.TB, s *Store, alter func(item *amendsv1.LogItem, encoded []byte) []byte, changes ...store.Change) {
	t.Helper()
	g := &group{s: s, drafts: map[contract.SagaID]*head{}, entered: map[contract.SagaID]*saga{}, entries: map[string][]byte{}}
	g.discarded = s.takeDiscards()
	r := &request{results: make([]error, len(changes))}
	for i := range changes {
		p, err := prepare(s.options.Keys, &changes[i])
		if err != nil {
			t.Fatal(err)
		}
		r.changes = append(r.changes, p)
	}
	err := g.decideAll([]*request{r})
	items := &amendsv1.LogItems{First: s.item + 1, Items: g.items}
	_, wrong := s.encode(items)
	if err = errors.Join(append(r.results, err, wrong)...); err != nil {
		t.Fatal(err)
	}
	content := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), items.First)
	for _, item := range items.Items {
		content = protowire.AppendTag(content, 2, protowire.BytesType)
		content = protowire.AppendBytes(content, alter(item, mustMarshal(item)))
	}
	mark, err := s.log.Append(mustMarshal(&amendsv1.LogRecord{Items: content}))
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply(items, g.entered)
	s.mark, s.logged = mark, s.logged+1
	clear(s.discarded)
}

// unknown adds a field of a later release.
func unknown(_ *amendsv1.LogItem, encoded []byte) []byte {
	return protowire.AppendVarint(protowire.AppendTag(encoded, 99, protowire.VarintType), 1)
}

// poisoned creates a store whose record 6 cannot be applied. It changes order-1; settles a message of
// order-2, and one of order-6 in a way that is not known; changes order-3, which cannot be decoded; and starts
// order-5, of which only the id can be decoded. Record 7 changes all of them, and starts order-4. The states
// are those that were acknowledged.
func poisoned(t testing.TB, path string) (states map[contract.SagaID]*machine.Instance) {
	t.Helper()
	s := reopened(t, path, Options{manual: true})
	defer s.abort()
	states = map[contract.SagaID]*machine.Instance{}
	start := func(id contract.SagaID) store.Change {
		c := storetest.Start(id, storetest.Checkout, storetest.Epoch)
		states[id] = c.Instance
		return c
	}
	next := func(id contract.SagaID) store.Change {
		c := storetest.Next(states[id], storetest.Epoch.Add(time.Second))
		c.Discard = nil
		states[id] = c.Instance
		return c
	}
	accept(t, s, start("order-1"))
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []store.Change{start("order-2"), start("order-3"), next("order-1"), start("order-6")} {
		accept(t, s, c)
	}
	for _, id := range []contract.SagaID{"order-2", "order-6"} {
		s.discarded[outbox.ID{Saga: id, Birth: states[id].Birth(), Revision: 1}] = struct{}{}
	}
	poison(t, s, func(item *amendsv1.LogItem, encoded []byte) []byte {
		switch item.Saga {
		case "order-1", "order-6":
			return unknown(item, encoded)
		case "order-3":
			return []byte{0xff}
		case "order-5":
			return append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), item.Saga), 0xff)
		}
		return encoded
	}, next("order-1"), next("order-3"), start("order-5"))
	accept(t, s, next("order-1"), next("order-2"), next("order-3"), start("order-4"), next("order-5"), next("order-6"))
	return states
}

// TestRecordIsTriedFirst checks that a record that could not be applied is not appended.
func TestRecordIsTriedFirst(t *testing.T) {
	for name, item := range map[string]*amendsv1.LogItem{
		"an unknown table": {Entry: &amendsv1.LogEntry{Table: "prices", Key: []byte("eur")}},
		"an unknown class": {Saga: "order-2", Fresh: true, Head: &head{
			Revision: 1, Class: 1000, Definition: &amendsv1.DefinitionRef{Name: "checkout"},
		}},
		"no saga": {Fresh: true},
	} {
		path := filepath.Join(t.TempDir(), "sagas.db")
		s := reopened(t, path, Options{manual: true})
		accept(t, s, storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
		last := s.log.Last()
		err := s.write(t.Context(), func(g *group) error { g.add(item); return nil })
		if !errors.Is(err, store.ErrBroken) || s.log.Last() != last {
			t.Errorf("%s: %v; the log ends with record %d instead of %d", name, err, s.log.Last().Number, last.Number)
		}
		s.abort()
		s = reopened(t, path, Options{manual: true})
		accept(t, s, storetest.Start("order-2", storetest.Checkout, storetest.Epoch))
		s.abort()
	}
}

// TestPanicOfApply checks that an item that cannot be applied is an error, to which replay adds the position of its
// record.
func TestPanicOfApply(t *testing.T) {
	s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), Options{manual: true})
	defer s.abort()
	if err := s.applyReplayed(&amendsv1.LogItems{First: 1, Items: []*amendsv1.LogItem{nil}}, nil); err == nil {
		t.Error("it is applied")
	}
	accept(t, s, storetest.Start("order-1", storetest.Checkout, storetest.Epoch)) // no lock is left
}

// TestSkip checks what Skip refuses; and that a store opens once the record that cannot be applied is void,
// in which exactly the sagas are damaged that are not what was acknowledged. They can be removed.
func TestSkip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	states := poisoned(t, path)
	o := testOptions(Options{manual: true, pieceSagas: 1, Now: func() time.Time { return storetest.Epoch }})
	_, err := Open(path, o)
	command := "coordinator log skip 6 --reason TEXT --data-dir " + filepath.Dir(path)
	if !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), command) {
		t.Fatalf("Open: %v, want the command %s", err, command)
	}
	if _, err := Verify(t.Context(), path, o); !errors.Is(err, ErrRecord) {
		t.Errorf("Verify: %v", err)
	}
	before := filesIn(t, path)
	for number, why := range map[uint64]string{
		1: "it is part of the state, which follows from the log up to record 1", 5: "it can be applied",
		7: "log skip 6", 8: "log skip 6",
	} {
		_, err := Skip(path, number, "why", "ada", o)
		if (number < 6) != errors.Is(err, ErrNotSkipped) || err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Skip of record %d: %v, want %q", number, err, why)
		}
	}
	if _, err := Skip(path, 6, "", "ada", o); !errors.Is(err, ErrNotSkipped) {
		t.Errorf("Skip without a reason: %v", err)
	}
	if filesIn(t, path) != before {
		t.Fatal("what is refused has changed the store")
	}
	want := Skipped{Number: 6, Reason: "why", By: "ada", At: storetest.Epoch, Sagas: []contract.SagaID{"order-1", "order-5", "order-6"}}
	v, err := Skip(path, 6, "why", "ada", o)
	slices.Sort(v.Sagas)
	if err != nil || !cmp.Equal(v, want) {
		t.Fatalf("Skip: %+v, %v", v, err)
	}
	for number, why := range map[uint64]string{6: "it is void already", 7: "it can be applied", 8: "the log ends with record 7"} {
		if _, err := Skip(path, number, "why", "ada", o); !errors.Is(err, ErrNotSkipped) || !strings.Contains(err.Error(), why) {
			t.Errorf("Skip of record %d: %v, want %q", number, err, why)
		}
	}
	want.Sagas = nil
	if v, err := Verify(t.Context(), path, o); err != nil || !cmp.Equal(v.Skipped, []Skipped{want}) {
		t.Errorf("Verify: %+v, %v", v, err)
	}
	images := 0
	o.step = func(step string) { // a crash between the pieces of the first checkpoint
		if step == "piece" {
			images++
			for _, suffix := range []string{"", ".log"} {
				if err := copyFiles(fmt.Sprintf("%s-%d%s", path, images, suffix), path+suffix); err != nil {
					t.Error(err)
				}
			}
		}
	}
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	compareSkipped(t, s, states)
	s.abort()
	for i := range images {
		image := reopened(t, fmt.Sprintf("%s-%d", path, i+1), Options{manual: true})
		compareSkipped(t, image, states)
		image.abort()
	}
	if images < 4 {
		t.Errorf("the checkpoint had %d pieces", images)
	}
	removeSkipped(t, path, states)
}

// compareSkipped checks that order-1, order-3, order-5 and order-6 are damaged and listed so, and that nothing else is.
func compareSkipped(t *testing.T, s *Store, states map[contract.SagaID]*machine.Instance) {
	t.Helper()
	damaged := []contract.SagaID{"order-1", "order-3", "order-5", "order-6"}
	for id, want := range states {
		in, err := s.Load(t.Context(), id)
		if lost := slices.Contains(damaged, id); lost != errors.Is(err, store.ErrCorrupt) || !lost && !cmp.Equal(in, want) {
			t.Errorf("%s: %v, %v", id, in, err)
		}
		if _, err := s.History(t.Context(), id, 0, 0); slices.Contains(damaged, id) != errors.Is(err, store.ErrCorrupt) {
			t.Errorf("history of %s: %v", id, err)
		}
	}
	list, _, err := s.List(t.Context(), store.Filter{}, store.Page{})
	listed := map[contract.SagaID]bool{}
	for i := range list {
		listed[list[i].ID] = list[i].Damage != ""
	}
	want := map[contract.SagaID]bool{"order-1": true, "order-2": false, "order-3": true, "order-4": false, "order-5": true, "order-6": true}
	if err != nil || !cmp.Equal(listed, want) {
		t.Errorf("listed as damaged: %v, %v", listed, err)
	}
	again := storetest.Start("order-5", storetest.Checkout, storetest.Epoch)
	follow := storetest.Next(states["order-1"], storetest.Epoch.Add(time.Minute))
	results, err := s.Commit(t.Context(), []store.Change{again, follow})
	if err != nil || !errors.Is(results[0], store.ErrCorrupt) || !errors.Is(results[1], store.ErrCorrupt) {
		t.Errorf("changes of damaged sagas: %v, %v", results, err)
	}
	err = s.Verify(t.Context())
	for _, id := range damaged {
		if err == nil || !strings.Contains(err.Error(), string(id)) {
			t.Errorf("verified: %v, want %s", err, id)
		}
	}
	if n := len(err.(interface{ Unwrap() []error }).Unwrap()); n != len(damaged) {
		t.Errorf("%d findings: %v", n, err)
	}
}

// removeSkipped removes the damaged sagas.
func removeSkipped(t *testing.T, path string, states map[contract.SagaID]*machine.Instance) {
	t.Helper()
	s := reopened(t, path, Options{manual: true})
	compareSkipped(t, s, states)
	for _, id := range []contract.SagaID{"order-1", "order-3", "order-5", "order-6"} {
		if _, err := s.RemoveDamaged(t.Context(), id, store.Removal{At: storetest.Epoch, By: "ada", Reason: "by hand"}); err != nil {
			t.Errorf("RemoveDamaged: %v", err)
		}
		if _, err := s.Load(t.Context(), id); !errors.Is(err, store.ErrEnded) {
			t.Errorf("Load of %s, which is removed: %v", id, err)
		}
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	c := storetest.Next(states["order-4"], storetest.Epoch.Add(time.Minute))
	accept(t, s, c)
	s.abort()
	s = reopened(t, path, Options{manual: true})
	if in, err := s.Load(t.Context(), "order-4"); err != nil || !cmp.Equal(in, c.Instance) {
		t.Errorf("order-4: %v, %v", in, err)
	}
	if err := s.Verify(t.Context()); err != nil || len(s.self.Skipped) != 1 {
		t.Errorf("at the end: %v, skipped: %v", err, s.self.Skipped)
	}
	s.abort()
}

// TestSkipTheLastRecord skips the last record. One of its sagas was written by a checkpoint that was not
// finished, so nothing of it is lost. Item numbers are never used twice.
func TestSkipTheLastRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	s := reopened(t, path, Options{manual: true})
	kept, lost := storetest.Start("order-1", storetest.Checkout, storetest.Epoch), storetest.Start("order-2", storetest.Checkout, storetest.Epoch)
	accept(t, s, kept, lost)
	kept, lost = storetest.Next(kept.Instance, storetest.Epoch), storetest.Next(lost.Instance, storetest.Epoch)
	poison(t, s, unknown, kept, lost)
	last := s.item
	one, _ := s.overlay.sagas.Get("order-1")
	if _, _, err := s.piece([]*saga{one}, func(*bolt.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	s.abort()
	if _, err := Skip(path, 2, "why", "", testOptions(Options{})); err != nil {
		t.Fatal(err)
	}
	s = reopened(t, path, Options{manual: true})
	defer s.abort()
	if in, err := s.Load(t.Context(), "order-1"); err != nil || !cmp.Equal(in, kept.Instance) {
		t.Errorf("order-1: %v, %v", in, err)
	}
	if _, err := s.Load(t.Context(), "order-2"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("order-2: %v", err)
	}
	if s.item < last {
		t.Errorf("the last item was %d, and is now %d", last, s.item)
	}
	accept(t, s, storetest.Next(kept.Instance, storetest.Epoch))
}

// TestSkippedInAnotherLog restores a store of which record 2 was skipped, and commits two records to its new log.
// Neither is void.
func TestSkippedInAnotherLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	s := reopened(t, path, Options{manual: true})
	accept(t, s, storetest.Start("order-1", storetest.Checkout, storetest.Epoch))
	poison(t, s, unknown, storetest.Start("order-2", storetest.Checkout, storetest.Epoch))
	s.abort()
	if _, err := Skip(path, 2, "why", "", testOptions(Options{})); err != nil {
		t.Fatal(err)
	}
	s = reopened(t, path, Options{manual: true})
	_, remove := s.RemoveDamaged(t.Context(), "order-2", store.Removal{At: storetest.Epoch, By: "ada"})
	var backup bytes.Buffer
	_, err := s.Backup(t.Context(), &backup)
	s.abort()
	path = filepath.Join(t.TempDir(), "sagas.db")
	if err := errors.Join(remove, err, Restore(t.Context(), &backup, path, RestoreOptions{})); err != nil {
		t.Fatal(err)
	}
	s = reopened(t, path, Options{manual: true})
	want := storetest.Start("order-3", storetest.Checkout, storetest.Epoch)
	for range 2 {
		accept(t, s, want)
		want = storetest.Next(want.Instance, storetest.Epoch)
	}
	n := s.log.Last().Number
	s.abort()
	s = reopened(t, path, Options{manual: true})
	defer s.abort()
	if in, err := s.Load(t.Context(), "order-3"); err != nil || n != 2 || in.Revision != want.Expected {
		t.Errorf("after %d records: %v, %v; want revision %d", n, in, err, want.Expected)
	}
}

// TestSkipInASealedStore skips a record whose seal is wrong, but none whose key is missing.
func TestSkipInASealedStore(t *testing.T) {
	for name, keys := range map[string]*seal.Keys{"changed": newKeys(t), "key is missing": otherKeys(t)} {
		path := filepath.Join(t.TempDir(), "sagas.db")
		own := newKeys(t)
		s := reopened(t, path, Options{manual: true, Keys: own})
		c := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
		accept(t, s, c)
		content := mustMarshal(&amendsv1.LogItems{First: 2, Items: []*amendsv1.LogItem{{Saga: "order-2", Head: &head{Class: 1}}}})
		record := &amendsv1.LogRecord{Items: content, Seal: keys.Seal(recordBinding(s.log.Last(), content), nil)}
		if _, err := s.log.Append(mustMarshal(record)); err != nil {
			t.Fatal(err)
		}
		s.abort()
		_, err := Skip(path, 2, "why", "", testOptions(Options{Keys: own}))
		if missing := name != "changed"; missing != errors.Is(err, seal.ErrKey) || !missing && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		s = reopened(t, path, Options{manual: true, Keys: own})
		if in, err := s.Load(t.Context(), "order-1"); err != nil || !cmp.Equal(in, c.Instance) {
			t.Errorf("order-1: %v, %v", in, err)
		}
		s.abort()
	}
}

// otherKeys returns keys with another name than newKeys.
func otherKeys(t testing.TB) *seal.Keys {
	t.Helper()
	line, err := seal.NewKey("k2")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.ParseKeys([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
