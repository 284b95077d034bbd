package boltstore

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"

	"github.com/amends-dev/amends/contract"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/storetest"
)

// FuzzFrame checks that a value is accepted only for the key and the table for which put wrote it, and not
// with a flipped bit. For any other value, the error must report damage and name the row in few bytes.
func FuzzFrame(f *testing.F) {
	frame := func(key, body []byte) []byte {
		sum := tableSagas.keySum(key)
		return append(append(append([]byte{frameFormat}, be(sum)...), be(bodySum(frameFormat, sum, body))...), body...)
	}
	f.Add([]byte("order-1"), frame([]byte("order-1"), []byte("body")))
	f.Add([]byte("order-2"), frame([]byte("order-1"), []byte("body")))
	f.Add([]byte{}, []byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, key, v []byte) {
		body, err := tableSagas.open(key, v)
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) || len(err.Error()) > 1500 {
				t.Errorf("the error is %v", err)
			}
			if got, err := tableSagas.open(key, frame(key, v)); err != nil || !bytes.Equal(got, v) {
				t.Errorf("what put writes cannot be read: %v", err)
			}
			return
		}
		if !bytes.Equal(frame(key, body), v) {
			t.Errorf("%x under %q is read as %x", v, key, body)
		}
		if _, err := tablePending.open(key, v); err == nil {
			t.Error("it passes for a row of another table")
		}
		changed := bytes.Clone(v)
		changed[len(key)%len(v)] ^= 4
		if _, err := tableSagas.open(key, changed); err == nil {
			t.Error("a flipped bit is not noticed")
		}
	})
}

func be(n uint32) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// FuzzRecord replays arbitrary bytes as a record, in a store that holds a saga: either the record is
// refused, and then what can be told of it is valid; or it is applied, and a checkpoint can be written.
func FuzzRecord(f *testing.F) {
	start := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	next := storetest.Next(start.Instance, storetest.Epoch)
	var old *head
	record := func(item *amendsv1.LogItem) []byte {
		return mustMarshal(&amendsv1.LogRecord{Items: mustMarshal(&amendsv1.LogItems{First: 2, Items: []*amendsv1.LogItem{item}})})
	}
	for n, c := range []store.Change{start, next} {
		p, err := prepare(nil, &c)
		if err != nil {
			f.Fatal(err)
		}
		item := p.follow(old, uint64(n+1))
		old = item.Head
		f.Add(record(item))
	}
	f.Add(record(&amendsv1.LogItem{Saga: "order-1", Fresh: true}))
	f.Add(record(&amendsv1.LogItem{Saga: "order-1", Head: &head{Class: 1, Revision: 9, Definition: &amendsv1.DefinitionRef{Name: "x"}}}))
	f.Add(record(&amendsv1.LogItem{Entry: &amendsv1.LogEntry{Table: "definitions", Key: []byte("x"), Value: []byte("y")}}))
	f.Add(record(&amendsv1.LogItem{Entry: &amendsv1.LogEntry{Table: "sagas", Key: []byte("x")}}))
	f.Add(record(&amendsv1.LogItem{Entry: &amendsv1.LogEntry{Table: "definitions"}}))
	definition := &amendsv1.DefinitionRef{Name: "x"}
	f.Add(record(&amendsv1.LogItem{Saga: strings.Repeat("x", 40_000), Fresh: true, Head: &head{Class: 1, Definition: definition}}))
	f.Add(record(&amendsv1.LogItem{Saga: "order-2", Fresh: true, Head: &head{Class: 99, Definition: definition}}))
	f.Add(mustMarshal(&amendsv1.LogRecord{Packed: s2.Encode(nil, []byte("\x08\x02"))}))
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	h := newHarness(f, Options{manual: true}, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStore(h.path, h.store.options)
		s.db, s.log, s.self = h.store.db, h.store.log, h.store.self
		apply := func(body []byte, number uint64) error {
			r := &log.Record{Mark: log.Mark{Number: number}, Body: body}
			return s.replay(&follower{s: s, item: number - 1}, r)
		}
		first, err := prepare(nil, &start)
		if err != nil {
			t.Fatal(err)
		}
		items := &amendsv1.LogItems{First: 1, Items: []*amendsv1.LogItem{first.follow(nil, 1)}}
		if err := apply(mustMarshal(&amendsv1.LogRecord{Items: mustMarshal(items)}), 1); err != nil {
			t.Fatal(err)
		}
		rest := decodeRest(b)
		for _, item := range rest.changes() {
			if err := contract.SagaID(item.Saga).Check(); err != nil || store.Class(item.Head.Class).Phase() == "" && item.Head.Class != 0 {
				t.Errorf("told: %v, %v", item, err)
			}
		}
		if err := apply(b, 2); err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Errorf("refused with %v", err)
			}
			if err := s.voidRecord(&log.Record{Mark: log.Mark{Number: 2}, Body: b}); err != nil {
				t.Errorf("as a void record: %v", err)
			}
		}
		for _, one := range s.dirty() {
			if h := one.head(); h != nil && h.Class != 0 && store.Class(h.Class).Phase() == "" {
				t.Errorf("saga %s has class %d", one.id, h.Class)
			}
			tx, err := s.db.Begin(true)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(one.write(tx), tx.Rollback()); err != nil {
				t.Errorf("written: %v", err)
			}
		}
		for k, v := range s.entries {
			tx, err := s.db.Begin(true)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(table(k[0]).put(tx, []byte(k[1:]), v.data), tx.Rollback()); err != nil {
				t.Errorf("written: %v", err)
			}
		}
		keysOf(t, b)
	})
}

// keysOf decodes bytes as keys: what can be decoded is encoded to the same bytes.
func keysOf(t *testing.T, b []byte) {
	t.Helper()
	same := func(what string, again []byte) {
		if !cmp.Equal(b, again) {
			t.Errorf("%s %x is read back as %x", what, b, again)
		}
	}
	if to, place := parsePendingKey(b); place.Commit > 0 {
		same("key of a message", pendingKey(to, place))
	}
	if at, id, ok := parseTimeKey(0, b); ok {
		same("timer key", timeKey("", at, id))
	}
	if class, at, id, ok := parseIndexKey(b); ok {
		same("index key", indexKey(class, at, id))
	}
	if count, ok := parseTally(b); ok {
		same("count", count.key())
	}
}
