package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/store/storetest"
)

// shop fills a store with one of everything that it can contain, and closes it. All business data
// in it contains the word.
func shop(t *testing.T, options boltstore.Options, word string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, options)
	def, err := storetest.Definition("checkout", 3, "-"+word)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutDefinition(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveClaim(t.Context(), ownership.SavedClaim{Number: 7, Incarnation: "here", Before: "there"}); err != nil {
		t.Fatal(err)
	}
	fill(t, s, word, "gone-1", "order-1", "order-2", "order-3")
	in, err := s.Load(t.Context(), "gone-1")
	if err != nil {
		t.Fatal(err)
	}
	// A result that no event holds is stored in the head.
	inline := storetest.Next(in, storetest.Epoch.Add(2*time.Hour))
	for i := range inline.Events {
		inline.Events[i].Payload = nil
	}
	commit(t, s, inline)
	in, err = s.Load(t.Context(), "gone-1")
	if err != nil {
		t.Fatal(err)
	}
	parked := storetest.Park(in, storetest.Epoch.Add(3*time.Hour))
	commit(t, s, parked)
	commit(t, s, storetest.Abandon(parked.Instance, storetest.Epoch.Add(4*time.Hour)))
	if removed, _, err := s.Expire(t.Context(), storetest.Epoch.Add(5*time.Hour), time.Time{}, 10); removed != 1 || err != nil {
		t.Fatalf("%d sagas removed: %v", removed, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// told returns everything that can be read from a store, with errors in place of unreadable data.
func told(t *testing.T, path string, options boltstore.Options) string {
	t.Helper()
	var all strings.Builder
	options.OnCorrupt = func(err error) { fmt.Fprintln(&all, err) }
	s := open(t, path, options)
	for _, id := range []contract.SagaID{"gone-1", "order-1", "order-2", "order-3"} {
		in, err := s.Load(t.Context(), id)
		if err != nil {
			fmt.Fprintf(&all, "%s: %#v %v\n", id, err, err)
		} else {
			fmt.Fprintf(&all, "%s: %+v %s\n", id, in, in.Input)
			for _, step := range in.Steps {
				fmt.Fprintf(&all, "  %s %q\n", step.Result, step.Do.Reason()+step.Undo.Reason())
			}
		}
		events, err := s.History(t.Context(), id, 1, 100)
		for _, e := range events {
			fmt.Fprintf(&all, "  %+v %s\n", e, e.Payload)
		}
		fmt.Fprintln(&all, err)
	}
	err := outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool {
		fmt.Fprintf(&all, "%+v %s\n", r, r.Envelope.Data)
		return true
	})
	fmt.Fprintln(&all, err)
	definitions, err := s.Definitions(t.Context())
	for _, d := range definitions {
		fmt.Fprintf(&all, "%s\n", d.JSON)
	}
	fmt.Fprintln(&all, err)
	list, _, err := s.List(t.Context(), store.Filter{IDPrefix: "order"}, store.Page{})
	fmt.Fprintln(&all, list, err)
	list, _, err = s.List(t.Context(), store.Filter{}, store.Page{})
	fmt.Fprintln(&all, list, err)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestSealedStoreTakesNothingPlain checks that an attacker with write access to the file but
// without a key cannot add data. It replaces each record in turn, and then all of them, with those
// of a plain store and correct checksums.
func TestSealedStoreTakesNothingPlain(t *testing.T) {
	const forged, genuine = "forged", "genuine"
	given := line(t, "key-1")
	sealedPath := shop(t, boltstore.Options{Keys: keys(t, given)}, genuine)
	plainPath := shop(t, boltstore.Options{}, forged)
	if text := told(t, plainPath, boltstore.Options{}); strings.Count(text, forged) < 20 {
		t.Fatalf("the plain store does not say what is looked for: %s", text)
	}
	if text := told(t, sealedPath, boltstore.Options{Keys: keys(t, given)}); strings.Count(text, genuine) < 20 || strings.Contains(text, "not encrypted") {
		t.Fatalf("the sealed store: %s", text)
	}
	whole, err := os.ReadFile(sealedPath)
	if err != nil {
		t.Fatal(err)
	}
	plain := open(t, plainPath, boltstore.Options{})
	type record struct{ bucket, key string }
	var records []record
	frames := map[record][]byte{}
	for _, bucket := range []string{"sagas", "journal", "owed", "definitions", "tombstones"} {
		before := len(records)
		for key, frame := range plain.Frames(bucket) {
			records = append(records, record{bucket, key})
			frames[record{bucket, key}] = frame
		}
		if len(records) == before {
			t.Fatalf("the plain store has nothing in %s", bucket)
		}
	}
	attack := func(name string, replaced ...record) {
		path := filepath.Join(t.TempDir(), "store.db")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, boltstore.Options{Keys: keys(t, given)})
		for _, r := range replaced {
			if err := s.Plant(r.bucket, r.key, frames[r]); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "it is not encrypted") {
			t.Errorf("%s: Verify finds %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if text := told(t, path, boltstore.Options{Keys: keys(t, given)}); strings.Contains(text, forged) {
			t.Errorf("%s: what was put there is told: %s", name, text)
		}
	}
	for _, r := range records {
		attack(fmt.Sprintf("%s %q", r.bucket, r.key), r)
	}
	attack("all", records...)

	// A coordinator that has cached a saga's state commits without reading it first.
	s := open(t, sealedPath, boltstore.Options{Keys: keys(t, given)})
	in, err := s.Load(t.Context(), "order-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Plant("sagas", "order-1", frames[record{"sagas", "order-1"}]); err != nil {
		t.Fatal(err)
	}
	results, err := s.Commit(t.Context(), []store.Change{storetest.Next(in, storetest.Epoch.Add(time.Hour))})
	if err != nil || !errors.Is(errors.Join(results...), store.ErrCorrupt) {
		t.Errorf("a commit onto a plain head: %v, %v", results, err)
	}
}

// TestPlainStoreIsNotTakenWithKeys checks that, with keys, a plain file, a plain backup and a file
// with changed seal marks are refused.
func TestPlainStoreIsNotTakenWithKeys(t *testing.T) {
	given := line(t, "key-1")
	plainPath := shop(t, boltstore.Options{}, "forged")
	refused := func(name, path string, options boltstore.Options, want error) {
		t.Helper()
		for how, open := range map[string]func(string, boltstore.Options) (*boltstore.Store, error){"Open": boltstore.Open, "OpenReadOnly": boltstore.OpenReadOnly} {
			s, err := open(path, options)
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, want) {
				t.Errorf("%s, %s: %v, want %v", name, how, err, want)
			}
		}
	}
	withKeys := boltstore.Options{Keys: keys(t, given)}
	refused("a plain store", plainPath, withKeys, seal.ErrPlain)

	s := open(t, plainPath, boltstore.Options{})
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(t.TempDir(), "restored.db")
	if err := boltstore.Restore(t.Context(), &backup, restored, boltstore.RestoreOptions{Keys: keys(t, given)}); !errors.Is(err, seal.ErrPlain) {
		t.Errorf("a plain backup: %v", err)
	}
	plainMeta := s.Frames("meta")

	sealed := shop(t, withKeys, "genuine")
	change := func(bucket, key string, frame []byte) {
		t.Helper()
		s := open(t, sealed, withKeys)
		if err := errors.Join(s.Plant(bucket, key, frame), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if _, marked := plainMeta["feature sealed"]; marked {
		t.Fatal("a plain store says that it is sealed")
	}
	change("meta", "feature sealed", nil)
	refused("not marked as sealed", sealed, withKeys, seal.ErrPlain)
	refused("not marked as sealed, without keys", sealed, boltstore.Options{}, seal.ErrKey)

	sealed = shop(t, withKeys, "genuine")
	change("meta", "key key-1", nil)
	refused("no word", sealed, withKeys, seal.ErrPlain)
	refused("no word, without keys", sealed, boltstore.Options{}, seal.ErrKey)
}

// TestCopy copies a store with new, different and no keys. The copy must have the same content,
// need only the new keys, contain no unsealed business data if it has keys, and accept changes.
func TestCopy(t *testing.T) {
	const word = "4111-1111"
	first, second := line(t, "key-1"), line(t, "key-2")
	path := shop(t, boltstore.Options{}, word)
	want := told(t, path, boltstore.Options{})
	from := boltstore.Options{}
	digest := machine.DigestStart("", []byte(`{"card":"`+word+`"}`))
	for _, step := range []struct {
		name string
		to   func() *seal.Keys
	}{
		{"sealed", func() *seal.Keys { return keys(t, first) }},
		{"sealed again", func() *seal.Keys { return keys(t, second) }},
		{"plain again", func() *seal.Keys { return nil }},
	} {
		s, err := boltstore.OpenReadOnly(path, from)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := s.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records := map[string]int{}
		for _, bucket := range boltstore.Buckets() {
			records[bucket] = s.Records(bucket)
		}
		next := filepath.Join(t.TempDir(), "copy.db")
		progress := int64(0)
		err = s.Copy(t.Context(), next, boltstore.CopyOptions{Keys: step.to(), Progress: func(n int64) { progress = n }})
		if err = errors.Join(err, s.Copy(t.Context(), next, boltstore.CopyOptions{})); !errors.Is(err, os.ErrExist) {
			t.Fatalf("%s, and once more over it: %v", step.name, err)
		}
		before := s.Info()
		owner, err := s.LoadClaim(t.Context())
		if err != nil || owner.Number != 7 {
			t.Fatalf("%+v, %v", owner, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		path, from = next, boltstore.Options{Keys: step.to()}
		if got := told(t, path, from); got != want {
			t.Errorf("%s: the copy tells\n%s\nwant\n%s", step.name, got, want)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if found := bytes.Contains(file, []byte(word)); found != (from.Keys == nil) {
			t.Errorf("%s: the word is found: %v", step.name, found)
		}
		if found := bytes.Contains(file, digest[1:]); found != (from.Keys == nil) { // it verifies guesses
			t.Errorf("%s: the digest of a start is found: %v", step.name, found)
		}
		c := open(t, path, from)
		total := 0
		for _, bucket := range boltstore.Buckets() {
			n := c.Records(bucket)
			if total += n; n != records[bucket] && bucket != "meta" {
				t.Errorf("%s: %s has %d records, want %d", step.name, bucket, n, records[bucket])
			}
		}
		own := 0 // records that exist only in the copy
		if from.Keys != nil {
			own = 2 // the sealed word and the feature
		}
		if progress < int64(total-own) {
			t.Errorf("%s: %d records were told of, there are %d", step.name, progress, total)
		}
		if got, err := c.Counts(t.Context()); err != nil || !slices.Equal(got, counts) {
			t.Errorf("%s: counts %v, %v, want %v", step.name, got, err, counts)
		}
		if after := c.Info(); after.ID != before.ID || after.Created != before.Created || after.Incarnation != before.Incarnation {
			t.Errorf("%s: it is %+v, from %+v", step.name, after, before)
		}
		if owned, err := c.LoadClaim(t.Context()); err != nil || owned != owner {
			t.Errorf("%s: it is owned by %+v (%v), want %+v", step.name, owned, err, owner)
		}
		goOn(t, c, "order-1") // with the previous result
		fill(t, c, word, contract.SagaID("new-"+strings.ReplaceAll(step.name, " ", "-")))
		if err := errors.Join(c.Verify(t.Context()), c.Close()); err != nil {
			t.Errorf("%s, later: %v", step.name, err)
		}
		want = told(t, path, from)
	}
	c := open(t, path, from)
	in, err := c.Load(t.Context(), "order-2")
	if err != nil {
		t.Fatal(err)
	}
	parked := storetest.Park(in, storetest.Epoch.Add(2*time.Hour))
	commit(t, c, parked)
	commit(t, c, storetest.Abandon(parked.Instance, storetest.Epoch.Add(3*time.Hour)))
	if _, _, err := c.Expire(t.Context(), storetest.Epoch.Add(4*time.Hour), time.Time{}, 10); err != nil {
		t.Fatal(err)
	}
	for _, id := range []contract.SagaID{"gone-1", "order-2"} {
		_, err := c.Load(t.Context(), id)
		if stone, ok := errors.AsType[*store.TombstoneError](err); !ok || stone.Start != digest {
			t.Errorf("%s has the digest of another start: %v", id, err)
		}
	}
}

// TestCopyRefusesDamage checks that a store with unreadable data is not copied, and that no
// incomplete file remains.
func TestCopyRefusesDamage(t *testing.T) {
	path := shop(t, boltstore.Options{}, "word")
	s := open(t, path, boltstore.Options{})
	if err := s.Damage("journal", boltstore.JournalKey(6), 20); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err := s.Copy(t.Context(), filepath.Join(dir, "copy.db"), boltstore.CopyOptions{Keys: keys(t, line(t, "key-1"))})
	if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "record 6 of journal") {
		t.Errorf("a damaged store is copied: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("there is %v left", left)
	}
}
