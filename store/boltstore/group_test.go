//go:build !race

package boltstore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/storetest"
)

// TestGroupCommitSharesRecords checks that concurrent calls share records, each of which is one fsync.
func TestGroupCommitSharesRecords(t *testing.T) {
	h := newHarness(t, Options{}, nil)
	const writers, each = 64, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				c := storetest.Start(contract.SagaID(fmt.Sprintf("w%d-%d", w, i)), storetest.Checkout, storetest.Epoch)
				if results, err := h.store.Commit(t.Context(), []store.Change{c}); err != nil || results[0] != nil {
					t.Errorf("Commit: %v, %v", results, err)
				}
			}
		})
	}
	wg.Wait()
	if s := h.store.Stats(); s.Calls != writers*each || s.Changes != writers*each || s.Records > writers*each/4 {
		t.Errorf("%d calls of %d callers with %d changes took %d records", s.Calls, writers, s.Changes, s.Records)
	}
}

// TestDataIsWrittenOnce checks that a change names data that the saga has, instead of repeating it: its input, and
// results that are passed on.
func TestDataIsWrittenOnce(t *testing.T) {
	s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), Options{manual: true})
	defer s.abort()
	const size = 64 << 10
	input, result := make([]byte, size), make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(input) // cannot fail, and what it reads cannot be compressed
	_, _ = random.Read(result)
	start := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	start.Instance.Input, start.Events[0].Payload, start.Enqueue[0].Envelope.Data = input, input, input
	next := storetest.Next(start.Instance, storetest.Epoch)
	next.Instance.Steps[0].Result, next.Events[0].Payload, next.Enqueue[0].Envelope.Data = result, result, result
	again := storetest.Next(next.Instance, storetest.Epoch)
	again.Events[0].Payload, again.Enqueue[0].Envelope.Data = result, input
	for i, tt := range []struct {
		change  store.Change
		written int64
	}{{start, size}, {next, size}, {again, 0}} {
		before := s.Stats().Log.Written
		accept(t, s, tt.change)
		if n := s.Stats().Log.Written - before; n < tt.written || n > tt.written+8<<10 {
			t.Errorf("change %d took %d bytes of the log, want %d and some", i+1, n, tt.written)
		}
	}
}

// TestSpaceIsUsedAgain checks that the space of deleted data is reused (I10), in the file and in the log. No round
// may need more than the first two.
func TestSpaceIsUsedAgain(t *testing.T) {
	h := newHarness(t, Options{manual: true}, nil)
	most, segments := int64(0), 0
	for round := range 5 {
		changes := make([]store.Change, 500)
		for i := range changes {
			changes[i] = storetest.Start(contract.SagaID(fmt.Sprintf("r%d-%d", round, i)), storetest.Checkout, storetest.Epoch)
			changes[i].Instance.Phase, changes[i].Instance.Ended = contract.PhaseCompensated, storetest.Epoch
			changes[i].Enqueue = nil
		}
		accept(t, h.store, changes...)
		if err := h.store.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		for later, n := storetest.Epoch.Add(time.Hour), 1; n > 0; {
			removed, dropped, err := h.store.Expire(t.Context(), later, later, 0)
			if err != nil {
				t.Fatal(err)
			}
			n = removed + dropped
		}
		if err := h.store.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		space, err := h.store.Space(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if space.Used > 256<<10 || round > 1 && space.Reached > most*5/4 || space.File > space.Reached+FileGrowth+64<<10 {
			t.Errorf("round %d: %+v, and at most %d bytes before", round, space, most)
		}
		most = max(most, space.Reached)
		if n := h.store.Stats().Log.Segments; round > 1 && n > segments+1 {
			t.Errorf("round %d: the log has %d segments, and had %d before", round, n, segments)
		} else {
			segments = n
		}
	}
}

// TestVerifyMissesMessages checks that Verify reports a pending message whose row is missing.
func TestVerifyMissesMessages(t *testing.T) {
	h := newHarness(t, Options{manual: true}, nil)
	for _, id := range []contract.SagaID{"order-1", "order-2"} {
		accept(t, h.store, storetest.Start(id, storetest.Checkout, storetest.Epoch))
	}
	if err := h.store.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.store.db.Update(func(tx *bolt.Tx) error {
		k, _ := tablePending.bucket(tx).Cursor().Last()
		return tablePending.delete(tx, k)
	}); err != nil {
		t.Fatal(err)
	}
	err := h.store.Verify(t.Context())
	if err == nil || !strings.Contains(err.Error(), "pending of saga order-2") || strings.Contains(err.Error(), "order-1") {
		t.Errorf("Verify: %v", err)
	}
	h.store.abort()
	h.open(t)
}

// TestDiscardsAreCommitted checks that a discard becomes part of the next record, or of one of its own after a second
// or at the end.
func TestDiscardsAreCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "sagas.db")
		s := reopened(t, path, Options{manual: true})
		defer func() { s.abort() }()
		changes := make([]store.Change, 4)
		for i := range changes {
			changes[i] = storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", i)), storetest.Checkout, storetest.Epoch)
		}
		accept(t, s, changes[:3]...)
		discard := func(i int) {
			if err := s.Discard(t.Context(), []outbox.ID{changes[i].Enqueue[0].ID}); err != nil {
				t.Fatal(err)
			}
		}
		first := s.log.Last().Number
		holds := func(what string, records uint64, discards int) {
			t.Helper()
			synctest.Wait() // no time passes
			if n, left := s.log.Last().Number-first, len(s.takeDiscards()); n != records || left != discards {
				t.Errorf("%s, there are %d records, and %d discards that are in none; want %d, %d",
					what, n, left, records, discards)
			}
		}
		discard(0)
		holds("at first", 0, 1)
		time.Sleep(discardDelay + time.Millisecond) // virtual
		holds("after a second", 1, 0)
		discard(1)
		accept(t, s, changes[3])
		holds("after a commit", 2, 0)
		discard(2)
		s.abort()
		s = reopened(t, path, Options{manual: true})
		for i, r := range pendingIn(t, s) {
			if i > 0 || r.ID != changes[3].Enqueue[0].ID {
				t.Errorf("at the end, message %v is pending", r.ID)
			}
		}
	})
}

// TestDiscardsAreBounded discards more messages than may be kept in memory: the excess is committed at once.
func TestDiscardsAreBounded(t *testing.T) {
	s := reopened(t, filepath.Join(t.TempDir(), "sagas.db"), Options{manual: true})
	defer s.abort()
	changes := make([]store.Change, MaxDiscarded+10)
	var ids []outbox.ID
	for i := range changes {
		changes[i] = storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", i)), storetest.Checkout, storetest.Epoch)
		ids = append(ids, changes[i].Enqueue[0].ID)
	}
	accept(t, s, changes...)
	if err := s.Discard(t.Context(), ids[:MaxDiscarded]); err != nil {
		t.Fatal(err)
	}
	if n := len(s.takeDiscards()); n != 0 {
		t.Errorf("%d discards are kept in memory", n)
	}
	counts, err := s.Destinations(t.Context())
	total := 0
	for _, n := range counts {
		total += n
	}
	if err != nil || total != 10 {
		t.Errorf("%d messages are pending, want 10 (%v)", total, err)
	}
}

// TestPackedRecord checks that the items of many sagas are compressed, and that a record which claims to
// hold much more than it could is refused.
func TestPackedRecord(t *testing.T) {
	h := newHarness(t, Options{manual: true}, nil)
	before := h.store.Stats().Log.Written
	var changes []store.Change
	size := 0
	for i := range 100 {
		c := storetest.Start(contract.SagaID(fmt.Sprintf("order-%d", i)), storetest.Checkout, storetest.Epoch)
		p, err := prepare(nil, &c)
		if err != nil {
			t.Fatal(err)
		}
		changes, size = append(changes, c), size+proto.Size(p.item)
	}
	accept(t, h.store, changes...)
	if written := h.store.Stats().Log.Written - before; written > int64(size)/2 {
		t.Errorf("%d bytes were written for %d bytes of items", written, size)
	}
	h.Reopen(t)
	for _, c := range changes {
		if in, err := h.store.Load(t.Context(), c.Instance.ID); err != nil || in.Revision != 1 {
			t.Errorf("%v, %v", in, err)
		}
	}
	large := s2.Encode(nil, make([]byte, 1<<20))
	for name, r := range map[string]*amendsv1.LogRecord{
		"too large":   {Packed: large},
		"not of S2":   {Packed: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		"items twice": {Packed: s2.Encode(nil, []byte("x")), Items: []byte("x")},
	} {
		if items, err := h.store.decode(log.Mark{}, mustMarshal(r)); err == nil || !strings.Contains(err.Error(), "compressed items cannot be read") {
			t.Errorf("%s: %v, %v", name, items, err)
		}
	}
}

// TestMuchIsOwed commits a change that enqueues 8 MiB of messages, as a parallel group of 32 steps with the
// largest requests does: a record of many parts. Then the saga moves on, a message at a time.
func TestMuchIsOwed(t *testing.T) {
	h := newHarness(t, Options{manual: true}, nil)
	c := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	one := c.Enqueue[0]
	c.Enqueue = nil
	for i := range 32 {
		r := one
		r.ID.Index, r.To = uint16(i), outbox.Destination(fmt.Sprintf("participant-%d", i%4))
		r.Envelope.Data = make([]byte, contract.MaxPayload)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(r.Envelope.Data) // cannot fail, and cannot be compressed
		c.Enqueue = append(c.Enqueue, r)
	}
	accept(t, h.store, c)
	owed := slices.Clone(c.Enqueue)
	same := func(when string) {
		t.Helper()
		var read []outbox.Record
		if err := outbox.All(t.Context(), h.store, func(_ outbox.Position, r outbox.Record) bool {
			read = append(read, r)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		byIndex := func(a, b outbox.Record) int { return int(a.ID.Index) - int(b.ID.Index) }
		slices.SortFunc(read, byIndex)
		if equal := cmp.Equal(owed, read, cmp.Comparer(bytes.Equal)); !equal {
			t.Errorf("%s: the %d messages are not the %d that are owed", when, len(read), len(owed))
		}
	}
	same("committed")
	h.Reopen(t)
	same("replayed")
	written := h.store.Stats().Log.Written
	in := c.Instance
	for len(owed) > 28 {
		next := storetest.Next(in, storetest.Epoch.Add(time.Second))
		next.Enqueue, next.Discard = nil, []outbox.ID{owed[0].ID}
		accept(t, h.store, next)
		owed, in = owed[1:], next.Instance
	}
	if n := h.store.Stats().Log.Written - written; n > 64<<10 {
		t.Errorf("four answers wrote %d bytes to the log, although they enqueue nothing", n)
	}
	if err := h.store.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("in the state")
	h.Reopen(t)
	same("opened again")
}

// TestIdComesAgainAtTheSameTime starts another saga with an id and a time that were used before, after the first one
// is forgotten: what lists say of it is not what they said of the first.
func TestIdComesAgainAtTheSameTime(t *testing.T) {
	h := newHarness(t, Options{manual: true}, nil)
	checkpoint := func() {
		t.Helper()
		if err := h.store.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	start := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	start.Enqueue = nil
	accept(t, h.store, start)
	checkpoint()
	end := storetest.Reject(start.Instance, storetest.Epoch)
	end.Instance.Phase, end.Instance.Ended, end.Enqueue = contract.PhaseCompensated, storetest.Epoch.Add(time.Second), nil
	accept(t, h.store, end)
	later := storetest.Epoch.Add(time.Hour)
	for range 2 { // first the saga, and then its tombstone
		if _, _, err := h.store.Expire(t.Context(), later, later, 0); err != nil {
			t.Fatal(err)
		}
	}
	other := contract.DefinitionRef{Name: "other", Version: 9}
	again := storetest.Start("order-1", other, storetest.Epoch)
	accept(t, h.store, again)
	for range 2 {
		for definition, want := range map[string]int{other.Name: 1, storetest.Checkout.Name: 0} {
			found, _, err := h.store.List(t.Context(), store.Filter{Definition: definition}, store.Page{})
			if err != nil || len(found) != want {
				t.Errorf("%d sagas of %s are listed, want %d: %v", len(found), definition, want, err)
			}
		}
		checkpoint()
	}
	if err := h.store.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
