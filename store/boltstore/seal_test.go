//go:build !race

package boltstore

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/store/storetest"
)

// keysOfLines parses lines into new Keys, as another process would.
func keysOfLines(t testing.TB, lines ...string) *seal.Keys {
	t.Helper()
	k, err := seal.ParseKeys([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newLine(t testing.TB, name string) string {
	t.Helper()
	l, err := seal.NewKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const secret = "4111-1111-1111-1111"

// secrets starts a saga whose input, event, message, result and reason contain a secret, and changes it.
func secrets(t testing.TB, s *Store, id contract.SagaID) *machine.Instance {
	t.Helper()
	start := storetest.Start(id, storetest.Checkout, storetest.Epoch)
	start.Instance.Input = []byte(`{"card":"` + secret + `"}`)
	start.Events[0].Payload, start.Enqueue[0].Envelope.Data = start.Instance.Input, []byte(secret)
	next := storetest.Next(start.Instance, storetest.Epoch.Add(time.Hour))
	next.Discard = nil
	next.Events[0].Payload, next.Events[0].Reason = []byte(strings.Repeat(secret, 100)), secret
	next.Instance.Steps[0].Result = next.Events[0].Payload
	accept(t, s, start, next)
	return next.Instance
}

// TestSealedFilesHoldNoPlainText looks for business data in state, log and backup of a sealed store. In a store
// without keys it must be found.
func TestSealedFilesHoldNoPlainText(t *testing.T) {
	for name, keys := range map[string]*seal.Keys{"plain": nil, "sealed": keysOfLines(t, newLine(t, "k1"))} {
		path := filepath.Join(t.TempDir(), "sagas.db")
		s := reopened(t, path, Options{manual: true, Keys: keys})
		secrets(t, s, "order-1")
		var backup bytes.Buffer
		if _, err := s.Backup(t.Context(), &backup); err != nil {
			t.Fatal(err)
		}
		s.abort()
		state, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, data := range map[string]string{"state": string(state), "log": filesIn(t, path)[:len(filesIn(t, path))-len(state)], "backup": backup.String()} {
			if !strings.Contains(data, "order-1") {
				t.Errorf("%s, %s: the saga's id is not found: is this the store?", name, what)
			}
			if found := strings.Contains(data, secret); found != (keys == nil) {
				t.Errorf("%s, %s: the secret is found: %t", name, what, found)
			}
			if strings.Contains(data, base64.StdEncoding.EncodeToString([]byte(secret))) {
				t.Errorf("%s, %s: the secret is found in base64", name, what)
			}
		}
	}
}

// TestWrongKeys checks that stores and backups are refused without their keys, also when only the log has
// used a key; that the errors name it; and that a new key encrypts while old ones decrypt.
func TestWrongKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	first, second := newLine(t, "key-1"), newLine(t, "key-2")
	states := map[contract.SagaID]*machine.Instance{}
	for i, keys := range []*seal.Keys{keysOfLines(t, first), keysOfLines(t, second, first), keysOfLines(t, second, first)} {
		s := reopened(t, path, Options{manual: true, Keys: keys})
		for id, want := range states {
			if in, err := s.Load(t.Context(), id); err != nil || !cmp.Equal(in, want) {
				t.Errorf("round %d: %s: %v, %v", i, id, in, err)
			}
		}
		id := contract.SagaID("order-" + string(rune('a'+i)))
		states[id] = secrets(t, s, id)
		if in := states["order-a"]; in.Open() {
			c := storetest.Next(in, storetest.Epoch.Add(2*time.Hour)) // a saga that started with the old key
			accept(t, s, c)
			states["order-a"] = c.Instance
		}
		if err := s.Verify(t.Context()); err != nil {
			t.Errorf("round %d: %v", i, err)
		}
		s.abort()
	}
	s := reopened(t, path, Options{manual: true, Keys: keysOfLines(t, second, first)})
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	s.abort()
	for name, tt := range map[string]struct {
		keys *seal.Keys
		want string
	}{
		"no keys":                  {nil, "not given: key-1, key-2"},
		"only the new key":         {keysOfLines(t, second), "not given: key-1"},
		"another key":              {keysOfLines(t, newLine(t, "key-3")), "not given: key-1, key-2"},
		"another of the same name": {keysOfLines(t, second, newLine(t, "key-1")), "the key key-1 is not the one"},
	} {
		_, err := Open(path, testOptions(Options{Keys: tt.keys}))
		if !errors.Is(err, seal.ErrKey) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		target := filepath.Join(t.TempDir(), "restored.db")
		if err := Restore(t.Context(), bytes.NewReader(backup.Bytes()), target, RestoreOptions{Keys: tt.keys}); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s: the backup is restored: %v", name, err)
		}
	}
}

// TestBindings checks that a sealed part opens only as the same part of the same saga, and the seal of a record only
// at the same place of the same log.
func TestBindings(t *testing.T) {
	keys := newKeys(t)
	o := owner{"order-1", 7}
	mark := log.Mark{Log: log.ID{1}, Number: 3, Hash: log.Hash{1}}
	otherLog, otherNumber, otherHash := mark, mark, mark
	otherLog.Log[0]++
	otherNumber.Number++
	otherHash.Hash[0]++
	items := []byte("items")
	rest := part{kind: sealedRest, revision: 2}
	message := part{kind: sealedMessage, revision: 2, index: 1, to: "payment"}
	for _, bindings := range [][][]byte{
		{
			o.binding(rest), o.binding(part{kind: sealedEvent, revision: 2}), o.binding(part{kind: sealedRest, revision: 3}),
			owner{"order-2", 7}.binding(rest), owner{"order-1", 8}.binding(rest),
		},
		{
			o.binding(message), o.binding(part{kind: sealedMessage, revision: 2, index: 1, to: "stock"}),
			o.binding(part{kind: sealedMessage, revision: 2, index: 2, to: "payment"}),
		},
		{o.binding(part{kind: sealedData, name: []byte("a")}), o.binding(part{kind: sealedData, name: []byte("b")})},
		{
			recordBinding(mark, items), recordBinding(otherLog, items), recordBinding(otherNumber, items),
			recordBinding(otherHash, items), recordBinding(mark, []byte("other items")),
		},
	} {
		sealed := keys.Seal(bindings[0], []byte(secret))
		for i, binding := range bindings {
			if plain, err := keys.Open(binding, sealed); (i == 0) != (err == nil && string(plain) == secret) {
				t.Errorf("sealed to %q, opened with %q: %q, %v", bindings[0], binding, plain, err)
			}
		}
	}
	if _, err := unsealPart(keys, o, rest, []byte(secret)); err == nil {
		t.Error("what is not sealed is accepted")
	}
}

// TestPlainStoreRefusesKeys checks that a store or a backup that is not sealed is not opened with keys, which would
// seal half of it.
func TestPlainStoreRefusesKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	s := reopened(t, path, Options{manual: true})
	want := secrets(t, s, "order-1")
	var backup bytes.Buffer
	_, err := s.Backup(t.Context(), &backup)
	s.abort()
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeys(t)
	if _, err := Open(path, testOptions(Options{Keys: keys})); !errors.Is(err, seal.ErrPlain) {
		t.Errorf("Open: %v", err)
	}
	if err := Restore(t.Context(), &backup, path+"-2", RestoreOptions{Keys: keys}); !errors.Is(err, seal.ErrPlain) {
		t.Errorf("Restore: %v", err)
	}
	s = reopened(t, path, Options{manual: true})
	defer s.abort()
	if in, err := s.Load(t.Context(), "order-1"); err != nil || !cmp.Equal(in, want) {
		t.Errorf("afterwards: %v, %v", in, err)
	}
}

// TestNamesTellNothing checks that the name of sealed data depends on the key: otherwise, whoever can read the file
// could check guesses of the data.
func TestNamesTellNothing(t *testing.T) {
	names := map[string]bool{}
	for _, keys := range []*seal.Keys{nil, newKeys(t), newKeys(t)} {
		n := string(nameFor(keys, []byte(secret)))
		if again := string(nameFor(keys, []byte(secret))); again != n || names[n] {
			t.Errorf("the name is %x, and then %x; named so far: %d", n, again, len(names))
		}
		names[n] = true
	}
}

// TestEarlierStateIsRefused puts the sealed state of an earlier revision, with a correct checksum, in the place of the
// newest one.
func TestEarlierStateIsRefused(t *testing.T) {
	s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), Options{manual: true, Keys: newKeys(t)})
	defer s.abort()
	c := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	var heads []*head
	for range 2 {
		accept(t, s, c)
		if err := s.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		o, err := s.current("order-1")
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, o.head())
		c = storetest.Next(c.Instance, storetest.Epoch)
	}
	changed := proto.CloneOf(heads[1])
	changed.Rest = heads[0].Rest
	if err := s.db.Update(func(tx *bolt.Tx) error {
		return tableSagas.put(tx, partKey(changed.StartedUnixNano, "order-1", partHead, nil), mustMarshal(changed))
	}); err != nil {
		t.Fatal(err)
	}
	if in, err := s.Load(t.Context(), "order-1"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the state of revision %d is accepted as revision %d: %v, %v",
			heads[0].Revision, heads[1].Revision, in, err)
	}
}

// TestSealsAreBoundToTheirPlace copies each part of a sealed saga, with correct checksums, to another saga,
// and to a later one with the same id. None may be accepted there.
func TestSealsAreBoundToTheirPlace(t *testing.T) {
	keys := newKeys(t)
	for _, part := range []byte{partHead, partStart, partEvents} {
		for _, again := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "sagas.db")
			s := reopened(t, path, Options{manual: true, Keys: keys})
			from, to := contract.SagaID("order-1"), contract.SagaID("order-2")
			other := secrets(t, s, from)
			started := nano(other.Started)
			var moved []row
			if err := s.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.db.View(func(tx *bolt.Tx) error {
				prefix := partKey(started, from, part, nil)
				c := tableSagas.bucket(tx).Cursor()
				for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
					body, err := tableSagas.open(k, v)
					if err != nil {
						return err
					}
					moved = append(moved, row{tableSagas, bytes.Clone(k[len(prefix):]), bytes.Clone(body)})
				}
				return nil
			}); err != nil || len(moved) == 0 {
				t.Fatal(err, len(moved))
			}
			if again { // the same id, started a microsecond later
				s.abort()
				path = filepath.Join(t.TempDir(), "sagas.db")
				s, to = reopened(t, path, Options{manual: true, Keys: keys}), from
				started += 1000
				c := storetest.Start(to, storetest.Checkout, instant(started))
				accept(t, s, c, storetest.Next(c.Instance, storetest.Epoch.Add(time.Hour)))
			} else {
				secrets(t, s, to)
			}
			if err := s.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.db.Update(func(tx *bolt.Tx) error {
				for _, r := range moved {
					if err := tableSagas.put(tx, partKey(started, to, part, r.key), r.body); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			_, load := s.Load(t.Context(), to)
			_, history := s.History(t.Context(), to, 0, 0)
			if !errors.Is(errors.Join(load, history), store.ErrCorrupt) {
				t.Errorf("part %c of %s is accepted in another saga %s", part, from, to)
			}
			if err := s.Verify(t.Context()); err == nil {
				t.Errorf("part %c: Verify finds nothing", part)
			}
			s.abort()
		}
	}
}
