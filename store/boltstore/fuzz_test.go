package boltstore

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/storetest"
)

// FuzzFrame checks that a value is accepted only if put would write exactly this value for this key
// and bucket. For any other value, the error must report damage and name the record in few bytes.
func FuzzFrame(f *testing.F) {
	as := func(format byte, key, body []byte) []byte {
		sum := tableSagas.keySum(key)
		v := append([]byte{format}, be(sum)...)
		return append(append(v, be(bodySum(format, sum, body))...), body...)
	}
	good := func(key, body []byte) []byte { return as(frameFormat, key, body) }
	f.Add([]byte("order-1"), good([]byte("order-1"), []byte("body")))
	f.Add([]byte("order-2"), good([]byte("order-1"), []byte("body")))
	f.Add([]byte("order-1"), as(frameSealed, []byte("order-1"), []byte("body")))
	f.Add([]byte{}, []byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, key, v []byte) {
		body, err := tableSagas.open(key, v)
		if err == nil {
			if !bytes.Equal(as(v[0], key, body), v) {
				t.Errorf("%x under %q is read as %x", v, key, body)
			}
			for other := range 256 { // no change of the format byte may turn sealed into plain
				changed := append([]byte{byte(other)}, v[1:]...)
				if _, err := tableSagas.open(key, changed); err == nil && byte(other) != v[0] {
					t.Errorf("a value of format %d is opened as one of format %d", v[0], other)
				}
			}
			if _, err := tableOwed.open(key, v); err == nil {
				t.Error("it passes for a record of another bucket")
			}
			if len(v) > 0 {
				v = bytes.Clone(v)
				v[len(key)%len(v)] ^= 4
				if _, err := tableSagas.open(key, v); err == nil {
					t.Error("a flipped bit is not noticed")
				}
			}
			return
		}
		var corrupt *store.CorruptError
		if !errors.As(err, &corrupt) || len(err.Error()) > 1500 {
			t.Errorf("the error is %v", err)
		}
		if got, err := tableSagas.open(key, good(key, v)); err != nil || !bytes.Equal(got, v) {
			t.Errorf("what put writes cannot be read: %v", err)
		}
	})
}

func be(n uint32) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// FuzzRecord decodes arbitrary bytes as each kind of record. If decoding succeeds, encoding and
// decoding the result must reproduce it.
func FuzzRecord(f *testing.F) {
	h := head{revision: 7, class: 2, started: 1, wake: 2, ended: 3, ref: contract.DefinitionRef{Name: "checkout", Version: 3}, changes: 4, last: 9, skip: 1, skipRevision: 1, birth: 1, birthSum: 5}
	f.Add(h.append(nil))
	h.timer = 1
	h.debts = []debt{{revision: 6, index: 1, seq: 8}, {revision: 7, index: 1 << 15, seq: 9, place: 1}}
	h.results = []result{{step: 0, sum: 4, seq: 9, event: 1}, {step: 2, sum: 5, inline: []byte("result")}}
	f.Add(h.append(nil))
	e := entry{saga: "order-1", first: 1, birth: []byte("birth"), events: [][]byte{[]byte("a"), {}}}
	f.Add(e.append(nil))
	e.began = true
	f.Add(e.append(nil))
	f.Add(appendOwner(nil, outbox.ID{Saga: "order-1", Revision: 3, Index: 2}))
	f.Add(encodeTombstone(&store.TombstoneError{Definition: contract.DefinitionRef{Name: "checkout", Version: 1}}, 3))
	start, err := sagapb.MarshalStart(&storetest.Start("order-1", contract.DefinitionRef{Name: "checkout", Version: 1}, storetest.Epoch).Instance.Start)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(withDigest(machine.StartDigest{1}, start))
	f.Add(outboxKey(outbox.ID{Saga: "order-1", Revision: 3, Index: 2}))
	f.Add(indexKey(1, 5, "order-1"))
	f.Add(timeKey("s", 5, "order-1"))
	f.Add(tally{contract.DefinitionRef{Name: "checkout", Version: 1}, 2}.key())
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, rest, err := parseHead(b); err == nil && h.ref.Version >= 0 {
			again, left, err := parseHead(append(h.append(nil), rest...))
			same(t, "head", h, again, err)
			same(t, "slim state", string(rest), string(left), nil)
		}
		if e, err := parseEntry(b); err == nil {
			again, err := parseEntry(e.append(nil))
			same(t, "entry", normal(e), normal(again), err)
		}
		if s, err := parseTombstone("order-1", b); err == nil && s.Definition.Version >= 0 {
			again, err := parseTombstone("order-1", encodeTombstone(s, store.Class(b[0])))
			same(t, "tombstone", s, again, err)
		}
		if began, _, err := parseBirth(b); err == nil {
			start, err := sagapb.MarshalStart(&began.Start)
			if err != nil {
				t.Fatal(err)
			}
			again, _, err := parseBirth(withDigest(began.digest, start))
			same(t, "birth", began, again, err)
			_, _ = sagapb.UnmarshalRest(b, began.Start)
		}
		if o, err := parseOwed(b, false); err == nil {
			_, _ = o.read(nil, "bank", func() ([]byte, error) { return b, nil })
			again, err := parseOwed(append(appendOwner(nil, o.id), o.rest...), false)
			same(t, "owner", o.id, again.id, err)
			same(t, "what is owed", string(o.rest), string(again.rest), nil)
		}
		if to, place := parseOwedKey(b); place.Commit > 0 {
			same(t, "key of owed", b, owedKey(to, place.Commit, int(place.Index)), nil)
		}
		if at, id, ok := parseTimeKey(0, b); ok {
			same(t, "timer key", b, timeKey("", at, id), nil)
		}
		if at, id, ok := parseIndexKey(b); ok {
			same(t, "index key", b, indexKey(store.Class(b[0]), at, id), nil)
		}
		if ref, ok := parseTally(b); ok {
			same(t, "tally", b, ref.key(), nil)
		}
	})
}

// normal turns empty slices into nil, so that entries can be compared.
func normal(e *entry) entry {
	n := *e
	n.birth = append([]byte{}, e.birth...)
	n.events = nil
	for _, event := range e.events {
		n.events = append(n.events, append([]byte{}, event...))
	}
	return n
}

func same(t *testing.T, what string, was, is any, err error) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(was, is) {
		t.Errorf("%s %+v reads back as %+v, %v", what, was, is, err)
	}
}
