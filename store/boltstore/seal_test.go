package boltstore_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/store/storetest"
)

// line returns a line with a new key for a key file.
func line(t *testing.T, name string) string {
	t.Helper()
	l, err := seal.NewKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// keys parses lines into new Keys, as a different process would.
func keys(t *testing.T, lines ...string) *seal.Keys {
	t.Helper()
	k, err := seal.ParseKeys([]byte("# newest first\n\n" + strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// fill commits sagas whose input, results, reasons and messages contain a word.
func fill(t *testing.T, s store.Store, word string, ids ...contract.SagaID) {
	t.Helper()
	for _, id := range ids {
		start := storetest.Start(id, storetest.Checkout, storetest.Epoch)
		start.Instance.Input = []byte(`{"card":"` + word + `"}`)
		start.Events[0].Payload = start.Instance.Input
		for i := range start.Enqueue {
			start.Enqueue[i].Envelope.Data = []byte(word)
		}
		next := storetest.Next(start.Instance, storetest.Epoch.Add(time.Hour))
		for i := range next.Instance.Steps {
			if do := &next.Instance.Steps[i].Do; do.State() != machine.SideIdle {
				d := do.Data()
				d.Reason = word
				side, err := machine.NewSide(contract.DirectionDo, d)
				if err != nil {
					t.Fatal(err)
				}
				*do = side
			}
		}
		for i := range next.Events {
			next.Events[i].Payload, next.Events[i].Reason = []byte(`"`+word+`"`), word
		}
		for _, c := range []store.Change{start, next} {
			results, err := s.Commit(t.Context(), []store.Change{c})
			if err = errors.Join(append(results, err)...); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// picture returns everything that a store reports about sagas.
func picture(t *testing.T, s store.Store, ids ...contract.SagaID) []any {
	t.Helper()
	var all []any
	for _, id := range ids {
		in, err := s.Load(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		events, err := s.History(t.Context(), id, 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, in, events)
	}
	err := outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool { all = append(all, r); return true })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const secret = "4111-1111-1111-1111"

// TestSealedFileHoldsNoPlainText checks that business data cannot be found in a sealed file or its
// backup. As a control, it must be found in a store without keys.
func TestSealedFileHoldsNoPlainText(t *testing.T) {
	for name, tt := range map[string]struct {
		options boltstore.Options
		found   bool
	}{
		"plain":  {boltstore.Options{}, true},
		"sealed": {boltstore.Options{Keys: keys(t, line(t, "key-1"))}, false},
	} {
		path := filepath.Join(t.TempDir(), "store.db")
		s := open(t, path, tt.options)
		fill(t, s, secret, "order-1", "order-2")
		var backup bytes.Buffer
		if _, err := s.Backup(t.Context(), &backup); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, data := range map[string][]byte{"file": file, "backup": backup.Bytes()} {
			if !bytes.Contains(data, []byte("order-1")) {
				t.Errorf("%s, %s: the saga's id is not there: is this the store?", name, what)
			}
			for _, word := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
				if found := bytes.Contains(data, []byte(word)); found != (tt.found && word == secret) {
					t.Errorf("%s, %s: %q found: %v", name, what, word, found)
				}
			}
		}
	}
}

// TestWrongKeys checks that Open refuses wrong keys, and that the error names them.
func TestWrongKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	first := line(t, "key-1")
	s := open(t, path, boltstore.Options{Keys: keys(t, first)})
	fill(t, s, secret, "order-1")
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		keys *seal.Keys
		want string
	}{
		"no keys":                  {nil, "not given: key-1"},
		"another key":              {keys(t, line(t, "key-2")), "not given: key-1"},
		"another of the same name": {keys(t, line(t, "key-1")), "the key key-1 is not the one"},
	} {
		s, err := boltstore.Open(path, boltstore.Options{Keys: tt.keys})
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, seal.ErrKey) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		err = boltstore.Restore(t.Context(), bytes.NewReader(backup.Bytes()), filepath.Join(t.TempDir(), "restored.db"), boltstore.RestoreOptions{Keys: tt.keys})
		if !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s: the backup is restored: %v", name, err)
		}
	}
	restored := filepath.Join(t.TempDir(), "restored.db")
	if err := boltstore.Restore(t.Context(), &backup, restored, boltstore.RestoreOptions{Keys: keys(t, first)}); err != nil {
		t.Fatal(err)
	}
	if in, err := open(t, restored, boltstore.Options{Keys: keys(t, first)}).Load(t.Context(), "order-1"); err != nil || !bytes.Contains(in.Input, []byte(secret)) {
		t.Errorf("the restored saga: %v, %v", in, err)
	}
}

// TestKeysRotate checks that a new key encrypts, and that the old one still decrypts older data.
func TestKeysRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	first, second := line(t, "key-1"), line(t, "key-2")
	var ids []contract.SagaID
	var want []any
	for i, given := range []*seal.Keys{keys(t, first), keys(t, second, first), keys(t, second, first)} {
		s := open(t, path, boltstore.Options{Keys: given})
		if got := picture(t, s, ids...); !reflect.DeepEqual(got, want) {
			t.Errorf("round %d: %v, want %v", i, got, want)
		}
		if err := s.Verify(t.Context()); err != nil {
			t.Errorf("round %d: %v", i, err)
		}
		id := contract.SagaID("order-" + string(rune('a'+i)))
		fill(t, s, secret, id)
		ids = append(ids, id)
		goOn(t, s, ids[0]) // a saga that started with the old key
		want = picture(t, s, ids...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := boltstore.Open(path, boltstore.Options{Keys: keys(t, second)}); !errors.Is(err, seal.ErrKey) {
		t.Errorf("without the old key: %v", err)
	}
}

// goOn commits the next revision of a saga.
func goOn(t *testing.T, s store.Store, id contract.SagaID) {
	t.Helper()
	in, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	results, err := s.Commit(t.Context(), []store.Change{storetest.Next(in, storetest.Epoch.Add(2*time.Hour))})
	if err = errors.Join(append(results, err)...); err != nil {
		t.Fatal(err)
	}
}

// TestSealsAreBoundToTheirPlace checks that a sealed state is reported as damaged if it was
// changed, or copied to a different saga with correct checksums.
func TestSealsAreBoundToTheirPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	given := line(t, "key-1")
	var reported []error
	s := open(t, path, boltstore.Options{Keys: keys(t, given), OnCorrupt: func(err error) { reported = append(reported, err) }})
	fill(t, s, secret, "order-1", "order-2") // four changes: journal records 1 to 4
	if err := s.Transplant("owed", boltstore.OwedKey("bank", 2), boltstore.OwedKey("bank", 4)); err != nil {
		t.Fatal(err)
	}
	if err := outbox.All(t.Context(), s, func(outbox.Position, outbox.Record) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if len(reported) != 1 || !strings.Contains(reported[0].Error(), "it belongs to saga order-2 instead of order-1") {
		t.Errorf("another's message is taken: %v", reported)
	}
	if err := s.Transplant("sagas", []byte("order-1"), []byte("order-2")); err != nil {
		t.Fatal(err)
	}
	var corrupt *store.CorruptError
	if _, err := s.Load(t.Context(), "order-2"); !errors.As(err, &corrupt) {
		t.Errorf("another's state is taken: %v", err)
	}
	if _, err := s.Load(t.Context(), "order-1"); err != nil {
		t.Errorf("a sound saga: %v", err)
	}
	if err := s.Verify(t.Context()); err == nil {
		t.Error("Verify finds nothing")
	}
}
