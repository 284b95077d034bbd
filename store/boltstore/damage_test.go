//go:build !race

package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/storetest"
)

// filled creates a store with sagas that wait, that have ended, and that are removed, and closes it
// after a checkpoint.
func filled(t testing.TB, path string, o Options) (states map[contract.SagaID]*machine.Instance) {
	t.Helper()
	s := reopened(t, path, o)
	defer s.abort()
	states = map[contract.SagaID]*machine.Instance{}
	for i := range 12 {
		id := contract.SagaID(fmt.Sprintf("order-%02d", i))
		changes := []store.Change{storetest.Start(id, storetest.Checkout, storetest.Epoch.Add(time.Duration(i)*time.Second))}
		for range i % 6 {
			if last := changes[len(changes)-1].Instance; last.Open() {
				changes = append(changes, storetest.Next(last, storetest.Epoch.Add(time.Minute)))
			}
		}
		accept(t, s, changes...)
		states[id] = changes[len(changes)-1].Instance
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	return states
}

func reopened(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, testOptions(o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func accept(t testing.TB, s *Store, changes ...store.Change) {
	t.Helper()
	results, err := s.Commit(t.Context(), changes)
	if err = errors.Join(append(results, err)...); err != nil {
		t.Fatal(err)
	}
}

// TestOneDamagedRow flips a bit of the key or of the value of every row, in turns. No other saga may be
// lost: it is as it was, or it is damaged too, because the damaged key hides its own. A row that follows
// from a saga's head is repaired, but for a message.
func TestOneDamagedRow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sagas.db")
	states := filled(t, path, Options{manual: true})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range allRows(t, path) {
		at := bytes.Index(data, append(bytes.Clone(r.key), r.body...))
		if r.table == tableMeta || at < 0 {
			continue // damage to what belongs to no saga is another matter
		}
		offsets := []int{0, len(r.key) - 1, len(r.key), len(r.key) + len(r.body) - 1}
		for _, offset := range []int{offsets[i%4], offsets[(i/4+2)%4]} {
			changed := bytes.Clone(data)
			changed[at+offset] ^= 0x40
			damaged := copied(t, path, changed)
			what := fmt.Sprintf("byte %d of row %q of table %s", offset, r.key, r.table)
			s, err := Open(damaged, testOptions(Options{manual: true}))
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			lost := missing(t, s, states)
			own := r.table == tableSagas || r.table == tableIDs
			if most := map[bool]int{true: 1}[r.table == tablePending]; len(lost) > most && !own {
				t.Errorf("%s: affects %v", what, lost)
			}
			if err := s.Verify(t.Context()); err != nil && !own && r.table != tablePending && r.table != tableDefinitions {
				t.Errorf("%s: %v", what, err)
			}
			for id := range states {
				if _, err := s.Load(t.Context(), id); err != nil && !(own && errors.Is(err, store.ErrCorrupt)) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if own {
				removeAll(t, what, damaged, s, states)
			} else {
				s.abort()
			}
		}
	}
}

// removeAll removes the damaged sagas of a store, and opens it again.
func removeAll(t *testing.T, what, path string, s *Store, states map[contract.SagaID]*machine.Instance) {
	t.Helper()
	var removed []contract.SagaID
	for id := range states {
		if _, err := s.Load(t.Context(), id); !errors.Is(err, store.ErrCorrupt) {
			continue
		}
		if _, err := s.RemoveDamaged(t.Context(), id, store.Removal{At: storetest.Epoch, By: "ada", Reason: "damaged"}); err != nil {
			t.Errorf("%s: remove %s: %v", what, id, err)
		}
		removed = append(removed, id)
	}
	s.abort()
	s, err := Open(path, testOptions(Options{manual: true}))
	if err != nil {
		t.Errorf("%s: after %v were removed: %v", what, removed, err)
		return
	}
	defer s.abort()
	for _, id := range removed {
		if _, err := s.Load(t.Context(), id); !errors.Is(err, store.ErrEnded) {
			t.Errorf("%s: %s, which was removed: %v", what, id, err)
		}
	}
	if err := s.Verify(t.Context()); err != nil && len(removed) > 0 { // a saga continues without its history
		t.Errorf("%s: after %v were removed: %v", what, removed, err)
	}
}

// allRows returns the rows of all tables, with their frames.
func allRows(t testing.TB, path string) (rows []row) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error {
		for i := range tables {
			c := table(i).bucket(tx).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				rows = append(rows, row{table(i), bytes.Clone(k), bytes.Clone(v)})
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}

// missing returns the sagas of which something is missing: their place in the list, their timer, or a
// pending message.
func missing(t testing.TB, s *Store, states map[contract.SagaID]*machine.Instance) (ids []contract.SagaID) {
	t.Helper()
	list, _, err := s.List(t.Context(), store.Filter{}, store.Page{})
	if err != nil {
		t.Error(err)
	}
	due, _, err := s.Due(t.Context(), storetest.Epoch.Add(time.Hour), 0)
	if err != nil {
		t.Error(err)
	}
	pending := map[contract.SagaID]bool{}
	for _, r := range pendingIn(t, s) {
		pending[r.ID.Saga] = true
	}
	for id, in := range states {
		listed := slices.ContainsFunc(list, func(one store.Summary) bool { return one.ID == id && one.Damage == "" })
		if !listed || in.Open() && !slices.Contains(due, id) || !pending[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestLogIsKeptForDamagedSagas checks that no change is lost because its saga cannot be read when the
// store is opened: once the state is put right, the change is there. Until then, the saga is listed.
func TestLogIsKeptForDamagedSagas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	states := filled(t, path, Options{manual: true})
	s := reopened(t, path, Options{manual: true})
	for id, in := range states {
		if in.Open() {
			c := storetest.Next(in, storetest.Epoch.Add(time.Hour))
			accept(t, s, c)
			states[id] = c.Instance
		}
	}
	s.abort()
	flip := func(id contract.SagaID) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		key := partKey(nano(states[id].Started), id, partHead, nil)
		data[bytes.LastIndex(data, key)+len(key)+frameSize] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const id = "order-07"
	flip(id)
	s = reopened(t, path, Options{manual: true})
	if _, err := s.Load(t.Context(), id); !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("Load: %v", err)
	}
	list, _, err := s.List(t.Context(), store.Filter{}, store.Page{})
	if err != nil || !slices.ContainsFunc(list, func(one store.Summary) bool { return one.ID == id && one.Damage != "" }) {
		t.Errorf("the damaged saga is not listed: %v, %v", list, err)
	}
	for range 2 {
		if err := s.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.abort()
	v, err := Verify(t.Context(), path, testOptions(Options{}))
	if !errors.Is(err, store.ErrCorrupt) || len(v.Kept) != 1 || v.Kept[0].Saga != id || v.Kept[0].From == 0 {
		t.Errorf("the log is kept for %+v, want one record of %s (%v)", v.Kept, id, err)
	}
	flip(id)
	s = reopened(t, path, Options{manual: true})
	defer s.abort()
	for id, want := range states {
		got, err := s.Load(t.Context(), id)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", id, err, diff)
		}
	}
}

// TestDamagedCountIsCountedAgain damages a count while the store is in use.
func TestDamagedCountIsCountedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	states := filled(t, path, Options{manual: true})
	s := reopened(t, path, Options{manual: true})
	if err := s.db.Update(func(tx *bolt.Tx) error {
		return tableCounts.bucket(tx).ForEach(func(k, v []byte) error {
			changed := bytes.Clone(v)
			changed[len(v)-1] ^= 1
			return tableCounts.bucket(tx).Put(k, changed)
		})
	}); err != nil {
		t.Fatal(err)
	}
	accept(t, s, storetest.Start("one-more", storetest.Checkout, storetest.Epoch))
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.abort()
	s = reopened(t, path, Options{manual: true})
	defer s.abort()
	counts, err := s.Counts(t.Context())
	n := 0
	for _, c := range counts {
		n += c.Sagas
	}
	if err != nil || n != len(states)+1 {
		t.Errorf("%d sagas are counted, want %d (%v)", n, len(states)+1, err)
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDamagedEntries damages a definition and the claim, and opens the store.
func TestDamagedEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	s := reopened(t, path, Options{manual: true})
	var definitions []store.Definition
	for _, name := range []string{"checkout", "refund"} {
		d, err := storetest.Definition(name, 1, "")
		if err == nil {
			err = s.PutDefinition(t.Context(), d)
		}
		if err != nil {
			t.Fatal(err)
		}
		definitions = append(definitions, d)
	}
	claim := ownership.SavedClaim{Number: 7}
	if err := errors.Join(s.SaveClaim(t.Context(), claim), s.Checkpoint(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Update(func(tx *bolt.Tx) error {
		flip := func(t table, key []byte) error {
			v := bytes.Clone(t.bucket(tx).Get(key))
			v[len(v)-1] ^= 1
			return t.bucket(tx).Put(key, v)
		}
		return errors.Join(flip(tableDefinitions, refKey(definitions[0].Ref)), flip(tableMeta, []byte(metaClaim)))
	}); err != nil {
		t.Fatal(err)
	}
	s.abort()
	s = reopened(t, path, Options{manual: true})
	defer s.abort()
	if err := s.PutDefinition(t.Context(), definitions[0]); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the damaged definition: %v", err)
	}
	if err := s.Copy(t.Context(), path+".copy", CopyOptions{}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Copy: %v", err)
	}
	if all, err := s.Definitions(t.Context()); err != nil || len(all) != 1 || all[0].Ref != definitions[1].Ref {
		t.Errorf("definitions: %v, %v", all, err)
	}
	if _, err := s.LoadClaim(t.Context()); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the damaged claim: %v", err)
	}
	if n := s.Stats().DamagedNow; n != 2 {
		t.Errorf("%d rows are counted as damaged, want 2", n)
	}
	if err := errors.Join(s.SaveClaim(t.Context(), claim), s.Checkpoint(t.Context())); err != nil {
		t.Fatal(err)
	}
	s.abort()
	s = reopened(t, path, Options{manual: true})
	defer s.abort()
	if got, err := s.LoadClaim(t.Context()); err != nil || got.Number != claim.Number {
		t.Errorf("the claim that was saved again: %v, %v", got, err)
	}
}

// TestMessagesAreSealedToTheirDestination exchanges the destination of a message in a sealed store.
func TestMessagesAreSealedToTheirDestination(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	keys := newKeys(t)
	s := reopened(t, path, Options{manual: true, Keys: keys})
	defer s.abort()
	c := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	accept(t, s, c)
	o, _ := s.overlay.sagas.Get("order-1")
	h := o.head()
	h.Pending[0].To = "mallory"
	s.overlay.keys.Set(keyIn(tablePending, pendingKey("mallory", positionOf(h.Pending[0]))), o.id)
	if err := s.Pending(t.Context(), "mallory", outbox.Position{}, func(_ outbox.Position, r outbox.Record) bool {
		t.Errorf("mallory gets %+v", r)
		return true
	}); err != nil {
		t.Error(err)
	}
}

// TestDamagedSagaTwiceInARecord discards a message of a damaged saga and changes the saga, twice, in one
// record.
func TestDamagedSagaTwiceInARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	states := filled(t, path, Options{manual: true})
	s := reopened(t, path, Options{manual: true})
	defer s.abort()
	const id = "order-07"
	in := states[id]
	if err := s.db.Update(func(tx *bolt.Tx) error {
		key := partKey(nano(in.Started), id, partHead, nil)
		v := bytes.Clone(tableSagas.bucket(tx).Get(key))
		v[len(v)-1] ^= 1
		return tableSagas.bucket(tx).Put(key, v)
	}); err != nil {
		t.Fatal(err)
	}
	c := storetest.Next(in, storetest.Epoch.Add(time.Hour))
	s.discarded[c.Discard[0]] = struct{}{}
	results, err := s.Commit(t.Context(), []store.Change{c, c, storetest.Start("order-x", storetest.Checkout, storetest.Epoch)})
	if err != nil || !errors.Is(results[0], store.ErrCorrupt) || !errors.Is(results[1], store.ErrCorrupt) || results[2] != nil {
		t.Errorf("%v, %v", results, err)
	}
}

// TestOneDamagedSector overwrites each sector of the state in turns, with zeros and with noise. The store
// is refused, or every saga is as it was or damaged: no saga seems not to exist.
func TestOneDamagedSector(t *testing.T) {
	t.Parallel()
	const sector, stride = 512, 29 // 1 was tried; it takes half a minute
	path := filepath.Join(t.TempDir(), "sagas.db")
	options := testOptions(Options{manual: true, MapSize: 1})
	options.CheckLimit = 0
	states := filled(t, path, options)
	more := reopened(t, path, options)
	for i := range 400 {
		c := storetest.Start(contract.SagaID(fmt.Sprintf("many-%03d", i)), storetest.Checkout, storetest.Epoch)
		accept(t, more, c)
		states[c.Instance.ID] = c.Instance
	}
	if err := more.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	space, err := more.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := more.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.New(rand.NewPCG(1, 2))
	refused, hit := 0, 0
	for at := 0; at < int(space.Reached); at += stride * sector {
		for _, what := range []string{"zeros", "noise"} {
			changed := bytes.Clone(data)
			clear(changed[at : at+sector])
			for i := at; what == "noise" && i < at+sector; i++ {
				changed[i] = byte(noise.Uint32())
			}
			damaged := copied(t, path, changed)
			s, err := Open(damaged, options)
			if errors.Is(err, ErrDamaged) || errors.Is(err, store.ErrCorrupt) {
				refused++
				if err := os.RemoveAll(filepath.Dir(damaged)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s at byte %d: %v", what, at, err)
				continue
			}
			for id, in := range states {
				got, err := s.Load(t.Context(), id)
				switch {
				case errors.Is(err, store.ErrCorrupt):
					hit++
				case err != nil:
					t.Errorf("%s at byte %d: saga %s: %v", what, at, id, err)
				case got.Revision != in.Revision:
					t.Errorf("%s at byte %d: saga %s is at revision %d, was at %d", what, at, id, got.Revision, in.Revision)
				}
			}
			s.abort()
			if err := os.RemoveAll(filepath.Dir(damaged)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if refused == 0 || hit == 0 {
		t.Errorf("%d files refused, %d sagas damaged: the test does not bite", refused, hit)
	}
	t.Logf("%d bytes: %d files refused, %d sagas damaged", space.Reached, refused, hit)
}

// copied returns the path of a copy of a store, whose state has other content.
func copied(t testing.TB, path string, data []byte) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "sagas.db")
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to+".log", os.DirFS(path+".log")); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestDeleteAllEnds checks that deleting the rows of a saga ends although a damaged key, which bbolt does not
// find, is among them.
func TestDeleteAllEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	s := reopened(t, path, Options{manual: true})
	c := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	accept(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	prefix := sagaPrefix(c.Instance.Started.UnixNano(), "order-1")
	at := bytes.Index(data, append(bytes.Clone(prefix), partStart))
	data[at+len(prefix)] ^= 0x40 // sorts before the head now
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bolt.Tx) error { return deleteAll(tx, tableSagas, prefix) }); err != nil {
		t.Error(err)
	}
}
