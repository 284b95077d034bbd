package boltinbox_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/boltinbox"
	"github.com/amends-dev/amends/participant/participanttest"
)

func open(t testing.TB) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "service.bolt"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

var counters = []byte("counters")

// TestInbox runs the conformance suite (I5).
func TestInbox(t *testing.T) {
	db := open(t)
	participanttest.RunInbox(t, participanttest.Inbox[*bbolt.Tx]{
		Inbox: boltinbox.New(db),
		Add: func(_ context.Context, tx *bbolt.Tx, counter string) error {
			b, err := tx.CreateBucketIfNotExists(counters)
			if err != nil {
				return err
			}
			return b.Put([]byte(counter), binary.BigEndian.AppendUint64(nil, number(b.Get([]byte(counter)))+1))
		},
		Count: func(t testing.TB, counter string) (n int) {
			t.Helper()
			if err := db.View(func(tx *bbolt.Tx) error {
				if b := tx.Bucket(counters); b != nil {
					n = int(number(b.Get([]byte(counter))))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return n
		},
		Open: func(testing.TB) participant.Inbox[*bbolt.Tx] { return boltinbox.New(db) },
	})
}

func number(b []byte) uint64 {
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// TestDamage flips each bit of a stored entry. Every flip must be detected. If an entry seemed to
// be missing or different, its effect could happen twice.
func TestDamage(t *testing.T) {
	db := open(t)
	db.NoSync = true
	inbox := boltinbox.New(db)
	key := participant.StepKey{Participant: "service", Saga: "order-42", Step: "reserve"}
	read := func() (e participant.Entry, err error) {
		err = inbox.Update(t.Context(), key, func(_ context.Context, _ *bbolt.Tx, entry participant.Entry) (participant.Entry, bool, error) {
			e = entry
			return entry, true, nil
		})
		return e, err
	}
	err := inbox.Update(t.Context(), key, func(_ context.Context, _ *bbolt.Tx, e participant.Entry) (participant.Entry, bool, error) {
		e.Do = participant.Answer{Outcome: contract.OutcomeCompleted, Data: []byte(`{"n":1}`)}
		return e, true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	k := []byte("service/order-42/reserve")
	flip := func(bit int) (more bool) {
		if err := db.Update(func(tx *bbolt.Tx) error {
			entries := tx.Bucket([]byte("amends_inbox")).Bucket([]byte("entry"))
			data := append([]byte(nil), entries.Get(k)...)
			if more = bit < 8*len(data); more {
				data[bit/8] ^= 1 << (bit % 8)
			}
			return entries.Put(k, data)
		}); err != nil {
			t.Fatal(err)
		}
		return more
	}
	for bit := 0; flip(bit); bit++ {
		var damage *boltinbox.DamageError
		if _, err := read(); !errors.As(err, &damage) || damage.Key != key {
			t.Fatalf("bit %d flipped: %v, expected a *DamageError", bit, err)
		}
		flip(bit)
	}
	if e, err := read(); err != nil || e.Do.None() {
		t.Fatalf("all bits back in place: %+v, %v", e, err)
	}
}

// between is a context that allows a test to act between two transactions.
type between struct {
	context.Context
	calls int
	act   func(call int)
}

func (b *between) Err() error {
	b.calls++
	b.act(b.calls)
	return b.Context.Err()
}

// TestOvertakenRejection: a rejection uses two transactions, one that is rolled back and one that
// stores the rejection. If another update completes the step between the two, the completion
// remains, and the rejecting handler is called again with the completed entry.
func TestOvertakenRejection(t *testing.T) {
	inbox := boltinbox.New(open(t))
	key := participant.StepKey{Participant: "service", Saga: "order-42", Step: "reserve"}
	yes := participant.Answer{Outcome: contract.OutcomeCompleted}
	var seen []participant.Answer
	ctx := &between{Context: t.Context(), act: func(call int) {
		if call != 2 {
			return
		}
		if err := inbox.Update(t.Context(), key, func(_ context.Context, _ *bbolt.Tx, e participant.Entry) (participant.Entry, bool, error) {
			e.Do = yes
			return e, true, nil
		}); err != nil {
			t.Error(err)
		}
	}}
	err := inbox.Update(ctx, key, func(_ context.Context, _ *bbolt.Tx, e participant.Entry) (participant.Entry, bool, error) {
		seen = append(seen, e.Do)
		if e.Do.None() {
			e.Do = participant.Answer{Outcome: contract.OutcomeRejected, Reason: "no"}
			return e, false, nil
		}
		return e, true, nil
	})
	if err != nil || len(seen) != 2 || seen[1].Outcome != yes.Outcome {
		t.Errorf("the work saw %+v, %v", seen, err)
	}
}

// TestKeys: Keys returns only the keys of steps that took effect or were undone. A damaged entry
// does not hide other entries.
func TestKeys(t *testing.T) {
	db := open(t)
	inbox := boltinbox.New(db)
	keys := func() (told []string, err error) {
		err = inbox.Keys(func(key contract.Key, recorded time.Time) error {
			told = append(told, key.String()+" "+recorded.Format(time.TimeOnly))
			return nil
		})
		return told, err
	}
	if told, err := keys(); err != nil || len(told) > 0 {
		t.Fatalf("of an empty file: %v, %v", told, err)
	}
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	completed := participant.Answer{Outcome: contract.OutcomeCompleted}
	for n, entry := range []participant.Entry{
		{Do: completed},
		{Do: completed, Undo: completed},
		{Do: participant.Answer{Outcome: contract.OutcomeRejected, Reason: "no"}},
		{Do: participant.Answer{Outcome: participant.Tombstone}, Undo: completed},
		{Do: completed},
	} {
		entry.Updated = noon.Add(time.Duration(n) * time.Second)
		key := participant.StepKey{Participant: fmt.Sprint("service-", n%2), Saga: contract.SagaID(fmt.Sprint("order-", n)), Birth: contract.BirthOf(noon), Step: "reserve"}
		err := inbox.Update(t.Context(), key, func(context.Context, *bbolt.Tx, participant.Entry) (participant.Entry, bool, error) {
			return entry, true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	newest := participant.Entry{Do: participant.Answer{Outcome: participant.Claimed, Data: []byte("7")}, Updated: noon}
	if err := inbox.Update(t.Context(), participant.StepKey{Participant: "service-0"}, func(context.Context, *bbolt.Tx, participant.Entry) (participant.Entry, bool, error) {
		return newest, true, nil // not a key of a saga
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"order-0/hod85snpc0/reserve/do 12:00:00", "order-4/hod85snpc0/reserve/do 12:00:04", "order-1/hod85snpc0/reserve/undo 12:00:01"}
	told, err := keys()
	if err != nil || !slices.Equal(told, want) {
		t.Fatalf("told are %q, %v; want %q", told, err, want)
	}
	stop := errors.New("enough")
	if err := inbox.Keys(func(contract.Key, time.Time) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of yield ends in %v", err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("amends_inbox")).Bucket([]byte("entry"))
		return errors.Join(b.Put([]byte("service-0/order-0/hod85snpc0/reserve"), []byte("damaged")), b.Put([]byte("x"), nil))
	}); err != nil {
		t.Fatal(err)
	}
	told, err = keys()
	if damage := (*boltinbox.DamageError)(nil); !errors.As(err, &damage) || damage.Key.Saga != "order-0" || !slices.Equal(told, want[1:]) {
		t.Errorf("with damage told are %q, %v", told, err)
	}
}
