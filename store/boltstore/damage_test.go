package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// sample holds a file with sagas in every state, and its expected content.
type sample struct {
	file      []byte
	states    map[contract.SagaID]*machine.Instance
	histories map[contract.SagaID][]machine.Event
	owed      map[outbox.ID]outbox.Record
	due       map[contract.SagaID]bool
}

func newSample(t *testing.T, sagas int) sample {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.db")
	s := open(t, path, boltstore.Options{})
	f := sample{
		states: map[contract.SagaID]*machine.Instance{}, histories: map[contract.SagaID][]machine.Event{},
		owed: map[outbox.ID]outbox.Record{}, due: map[contract.SagaID]bool{},
	}
	var changes []store.Change
	for i := range sagas {
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%04d", i)), storetest.Checkout, storetest.Epoch.Add(time.Duration(i)*time.Second))
		changes = append(changes, c)
		history := c.Events
		for range i % 5 {
			c = storetest.Next(c.Instance, storetest.Epoch.Add(time.Hour))
			changes, history = append(changes, c), append(history, c.Events...)
		}
		f.states[c.Instance.ID], f.histories[c.Instance.ID] = c.Instance, history
		for _, r := range c.Enqueue {
			f.owed[r.ID] = r
		}
		f.due[c.Instance.ID] = !c.Instance.Wake().IsZero()
	}
	for len(changes) > 0 {
		n := min(150, len(changes))
		results, err := s.Commit(t.Context(), changes[:n])
		if err = errors.Join(append(results, err)...); err != nil {
			t.Fatal(err)
		}
		changes = changes[n:]
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, boltstore.Options{})
	size := s.Used()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f.file = data[:size]
	return f
}

// findings counts the consequences of damage to a file.
type findings struct {
	refused, reported, wrong, silent int
}

// read opens a damaged file and compares everything that is readable with the sample.
func (f *sample) read(t *testing.T, path string) (found findings) {
	t.Helper()
	var reported atomic.Int64
	s, err := boltstore.Open(path, boltstore.Options{MapSize: 1, OnCorrupt: func(error) { reported.Add(1) }})
	if err != nil {
		found.refused++
		return found
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	damaged := func(err error) bool {
		if err == nil {
			return false
		}
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("error %v, want ErrCorrupt", err)
			found.wrong++
		}
		found.reported++
		return true
	}
	missing := 0
	for id, want := range f.states {
		in, err := s.Load(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			missing++
			continue
		}
		if !damaged(err) && !sameState(in, want) {
			t.Errorf("saga %s has a wrong state: %+v", id, in)
			found.wrong++
		}
		events, err := s.History(ctx, id, 1, 0)
		if !damaged(err) && !sameEvents(events, f.histories[id]) {
			t.Errorf("saga %s has a wrong history", id)
			found.wrong++
		}
	}
	owed := 0
	damaged(outbox.All(ctx, s, func(_ outbox.Position, r outbox.Record) bool {
		owed++
		if want := f.owed[r.ID]; !reflect.DeepEqual(string(r.Envelope.Data), string(want.Envelope.Data)) || r.Envelope.Subject != want.Envelope.Subject {
			t.Errorf("outbox record %s is wrong", r.ID)
			found.wrong++
		}
		return true
	}))
	ids, _, err := s.Due(ctx, storetest.Epoch.Add(99*time.Hour), 100_000)
	damaged(err)
	for _, id := range ids {
		if !f.due[id] {
			t.Errorf("saga %q is due and should not be", id)
			found.wrong++
		}
	}
	list, _, err := s.List(ctx, store.Filter{}, store.Page{Limit: 1000})
	damaged(err)
	for _, sum := range list {
		want := f.states[sum.ID]
		if want != nil && sum.Damage != "" {
			continue // the damage is reported
		}
		if want == nil || !reflect.DeepEqual(sum, store.Summarize(want)) {
			t.Errorf("list has a wrong line: %+v", sum)
			found.wrong++
		}
	}
	found.reported += int(reported.Load())
	if found.reported == 0 && (missing > 0 || owed != len(f.owed) || len(list) != len(f.states)) {
		found.silent++
		if s.Verify(ctx) == nil {
			t.Errorf("records are missing (%d sagas, %d of %d debts) and Verify says nothing", missing, owed, len(f.owed))
			found.wrong++
		}
	}
	f.write(t, s, &found)
	return found
}

// write checks that a new saga can start and that an undamaged saga can continue, or that the store
// reports why not.
func (f *sample) write(t *testing.T, s *boltstore.Store, found *findings) {
	t.Helper()
	changes := []store.Change{storetest.Start("new", storetest.Checkout, storetest.Epoch)}
	for _, in := range f.states {
		if len(changes) < 20 && in.Open() {
			changes = append(changes, storetest.Next(in, storetest.Epoch.Add(2*time.Hour)))
		}
	}
	results, err := s.Commit(t.Context(), changes)
	if err != nil {
		if !errors.Is(err, store.ErrBroken) {
			t.Errorf("Commit: %v", err)
			found.wrong++
		}
		found.reported++
		return
	}
	for _, err := range results {
		if err != nil && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrConflict) {
			t.Errorf("result: %v", err)
			found.wrong++
		}
	}
}

func sameState(a, b *machine.Instance) bool {
	x, err := sagapb.MarshalInstance(a)
	y, err2 := sagapb.MarshalInstance(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

func sameEvents(a, b []machine.Event) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, err := sagapb.MarshalEvent(&a[i])
		y, err2 := sagapb.MarshalEvent(&b[i])
		if err != nil || err2 != nil || string(x) != string(y) {
			return false
		}
	}
	return true
}

// TestBitFlips flips one bit of the file at a time. Each flip must be detected or harmless; none
// may yield a wrong value or end the process.
func TestBitFlips(t *testing.T) { bitFlips(t, 50) }

func bitFlips(t *testing.T, flips int) {
	t.Helper()
	f := newSample(t, 100)
	random := rand.New(rand.NewPCG(20, 26))
	path := filepath.Join(t.TempDir(), "flipped.db")
	var sum findings
	harmless := 0
	for range flips {
		at, bit := random.IntN(len(f.file)), random.IntN(8)
		data := append([]byte(nil), f.file...)
		data[at] ^= 1 << bit
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		found := f.read(t, path)
		if found.wrong > 0 {
			t.Fatalf("bit %d of byte %d (page %d, offset %d)", bit, at, at/4096, at%4096)
		}
		switch {
		case found.refused > 0:
			sum.refused++
		case found.silent > 0:
			sum.silent++
		case found.reported > 0:
			sum.reported++
		default:
			harmless++
		}
	}
	t.Logf("%d flips: %d refused by Open, %d reported, %d hid records until Verify, %d harmless",
		flips, sum.refused, sum.reported, sum.silent, harmless)
	if sum.reported == 0 {
		t.Fatal("no flip was reported: the test does not bite")
	}
	if sum.silent > 0 {
		t.Errorf("%d flips hid records and nobody was told", sum.silent)
	}
}

// TestStructureFlips flips bits in bbolt's own structure: the roots, the page headers and the
// tables of elements.
func TestStructureFlips(t *testing.T) {
	f := newSample(t, 40)
	random := rand.New(rand.NewPCG(1, 1))
	path := filepath.Join(t.TempDir(), "flipped.db")
	var sum findings
	for range 200 {
		page := random.IntN(len(f.file) / 4096)
		at, bit := page*4096+random.IntN(96), random.IntN(8)
		data := append([]byte(nil), f.file...)
		data[at] ^= 1 << bit
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		found := f.read(t, path)
		if found.wrong > 0 {
			t.Fatalf("bit %d of page %d, offset %d", bit, page, at%4096)
		}
		sum.refused += found.refused
		sum.silent += found.silent
		sum.reported += min(found.reported, 1)
	}
	t.Logf("200 flips in structures: %d refused by Open, %d reported, %d hid records until Verify", sum.refused, sum.reported, sum.silent)
	if sum.refused == 0 {
		t.Fatal("no flip was refused: the test does not bite")
	}
	if sum.silent > 0 {
		t.Errorf("%d flips hid records and nobody was told", sum.silent)
	}
}

// TestNameOfATableIsDamaged checks that a store is called damaged, and not foreign, if a bit of the
// name of its first table has flipped.
func TestNameOfATableIsDamaged(t *testing.T) {
	f := newSample(t, 4)
	path := filepath.Join(t.TempDir(), "renamed.db")
	if err := os.WriteFile(path, bytes.ReplaceAll(f.file, []byte("meta"), []byte("mfta")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := boltstore.Open(path, boltstore.Options{})
	if !errors.Is(err, boltstore.ErrDamaged) || errors.Is(err, boltstore.ErrForeign) || !strings.Contains(err.Error(), "the table meta is missing: restore a backup") {
		t.Errorf("%v, want ErrDamaged", err)
	}
}

func TestTruncatedFile(t *testing.T) {
	f := newSample(t, 40)
	path := filepath.Join(t.TempDir(), "short.db")
	for _, size := range []int{1, 100, 4096, 8192, 12288, 20000, len(f.file) / 2, len(f.file) - 4096, len(f.file) - 1} {
		if err := os.WriteFile(path, f.file[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := boltstore.Open(path, boltstore.Options{}); !errors.Is(err, boltstore.ErrDamaged) {
			t.Errorf("a file of %d instead of %d bytes: %v, want ErrDamaged", size, len(f.file), err)
		}
	}
	if err := os.WriteFile(path, f.file, 0o600); err != nil {
		t.Fatal(err)
	}
	if found := f.read(t, path); found != (findings{}) {
		t.Fatalf("the whole file: %+v", found)
	}
}
