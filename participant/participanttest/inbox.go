package participanttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
)

// Inbox is an inbox under test, with functions that write and read like a handler.
type Inbox[Tx any] struct {
	Inbox participant.Inbox[Tx]
	// Add increments a counter in the transaction.
	Add func(ctx context.Context, tx Tx, counter string) error
	// Count reads a counter outside any transaction.
	Count func(t testing.TB, counter string) int
	// Open returns a second inbox on the same database, as another process would use it. If nil,
	// the tests use the same inbox.
	Open func(t testing.TB) participant.Inbox[Tx]
}

// RunInbox tests whether an inbox conforms to participant.Inbox.
func RunInbox[Tx any](t *testing.T, i Inbox[Tx]) {
	t.Helper()
	t.Run("keeps the entry", i.keeps)
	t.Run("keep false undoes the work and keeps the entry", i.undoesWork)
	t.Run("an error leaves nothing", i.leavesNothing)
	t.Run("a panic leaves nothing and no lock", i.survivesPanic)
	t.Run("an ended context leaves nothing and no lock", i.survivesCancel)
	t.Run("locks the entry", i.locks)
	t.Run("completed and rejected race", i.races)
	t.Run("distinguishes keys", i.distinguishes)
	t.Run("preserves bytes", i.preserves)
	t.Run("prunes old entries", i.prunes)
	t.Run("handlers", i.handlers)
}

// errBroken is the error that handlers return in these tests.
var errBroken = errors.New("something broke")

func newKey() participant.StepKey {
	return participant.StepKey{Participant: "inbox-test", Saga: contract.SagaID("saga-" + uuid.NewString()), Birth: contract.BirthOf(now), Step: "step"}
}

var now = time.Date(2026, 11, 21, 9, 30, 0, 123e6, time.UTC)

// done returns the entry with a completed Do, which has data, and with Updated set.
func done(e participant.Entry, data string) participant.Entry {
	e.Do = participant.Answer{Outcome: contract.OutcomeCompleted, Data: []byte(data)}
	e.Updated = now
	return e
}

// update calls Update with a timeout.
func (i Inbox[Tx]) update(t testing.TB, key participant.StepKey, work participant.Work[Tx]) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return i.Inbox.Update(ctx, key, work)
}

// entry reads an entry without modifying it.
func (i Inbox[Tx]) entry(t testing.TB, key participant.StepKey) (entry participant.Entry) {
	t.Helper()
	err := i.update(t, key, func(_ context.Context, _ Tx, e participant.Entry) (participant.Entry, bool, error) {
		entry = e
		entry.Do.Data, entry.Undo.Data = bytes.Clone(e.Do.Data), bytes.Clone(e.Undo.Data)
		return e, true, nil
	})
	if err != nil {
		t.Fatalf("read entry: %v", err)
	}
	return entry
}

func (i Inbox[Tx]) wantEntry(t testing.TB, key participant.StepKey, want participant.Entry) {
	t.Helper()
	if got := i.entry(t, key); !got.Equal(want) {
		t.Fatalf("the entry is %+v, expected %+v", got, want)
	}
}

func (i Inbox[Tx]) wantCount(t testing.TB, counter string, want int) {
	t.Helper()
	if got := i.Count(t, counter); got != want {
		t.Fatalf("the work took effect %d times, want %d", got, want)
	}
}

func (i Inbox[Tx]) keeps(t *testing.T) {
	key, counter := newKey(), uuid.NewString()
	i.wantEntry(t, key, participant.Entry{})
	err := i.update(t, key, func(ctx context.Context, tx Tx, e participant.Entry) (participant.Entry, bool, error) {
		return done(e, "first"), true, i.Add(ctx, tx, counter)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := done(participant.Entry{}, "first")
	i.wantEntry(t, key, want)
	i.wantCount(t, counter, 1)
	if got := i.entry(t, key).Updated; !got.Equal(now) {
		t.Fatalf("Updated is %v, expected %v", got, now)
	}
	err = i.update(t, key, func(_ context.Context, _ Tx, e participant.Entry) (participant.Entry, bool, error) {
		e.Undo = participant.Answer{Outcome: contract.OutcomeCompleted, Data: []byte("second")}
		e.Updated = now.Add(time.Minute)
		return e, true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want.Undo = participant.Answer{Outcome: contract.OutcomeCompleted, Data: []byte("second")}
	i.wantEntry(t, key, want)
}

func (i Inbox[Tx]) undoesWork(t *testing.T) {
	key, counter := newKey(), uuid.NewString()
	no := participant.Answer{Outcome: contract.OutcomeRejected, Reason: "out of stock – „leider“"}
	err := i.update(t, key, func(ctx context.Context, tx Tx, e participant.Entry) (participant.Entry, bool, error) {
		if err := i.Add(ctx, tx, counter); err != nil {
			return e, false, err
		}
		e.Do, e.Updated = no, now
		return e, false, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	i.wantEntry(t, key, participant.Entry{Do: no})
	i.wantCount(t, counter, 0)
}

func (i Inbox[Tx]) leavesNothing(t *testing.T) {
	key, counter := newKey(), uuid.NewString()
	err := i.update(t, key, func(ctx context.Context, tx Tx, e participant.Entry) (participant.Entry, bool, error) {
		if err := i.Add(ctx, tx, counter); err != nil {
			t.Error(err)
		}
		return done(e, "never"), true, errBroken
	})
	if !errors.Is(err, errBroken) {
		t.Fatalf("Update returned %v, expected the error of the work", err)
	}
	i.wantEntry(t, key, participant.Entry{})
	i.wantCount(t, counter, 0)
}

func (i Inbox[Tx]) survivesPanic(t *testing.T) {
	key, counter := newKey(), uuid.NewString()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the work function did not reach the caller")
			}
		}()
		_ = i.update(t, key, func(ctx context.Context, tx Tx, e participant.Entry) (participant.Entry, bool, error) {
			if err := i.Add(ctx, tx, counter); err != nil {
				t.Error(err)
			}
			panic("the handler's mistake")
		})
	}()
	i.wantEntry(t, key, participant.Entry{})
	i.wantCount(t, counter, 0)
}

func (i Inbox[Tx]) survivesCancel(t *testing.T) {
	key, counter := newKey(), uuid.NewString()
	ctx, cancel := context.WithCancel(t.Context())
	err := i.Inbox.Update(ctx, key, func(ctx context.Context, tx Tx, e participant.Entry) (participant.Entry, bool, error) {
		if err := i.Add(ctx, tx, counter); err != nil {
			t.Error(err)
		}
		cancel()
		return done(e, "never"), true, ctx.Err()
	})
	if err == nil {
		t.Fatal("Update returned no error although its work did")
	}
	i.wantEntry(t, key, participant.Entry{})
	i.wantCount(t, counter, 0)
}

// locks runs concurrent updates of one key, each of which reads and then writes. Without the lock,
// some of the writes would be lost.
func (i Inbox[Tx]) locks(t *testing.T) {
	key, counter := newKey(), uuid.NewString()
	const writers = 12
	inboxes := []participant.Inbox[Tx]{i.Inbox}
	if i.Open != nil {
		inboxes = append(inboxes, i.Open(t))
	}
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			err := inboxes[n%len(inboxes)].Update(t.Context(), key, func(ctx context.Context, tx Tx, e participant.Entry) (participant.Entry, bool, error) {
				return done(e, string(e.Do.Data)+"x"), true, i.Add(ctx, tx, counter)
			})
			if err != nil {
				t.Errorf("writer %d: %v", n, err)
			}
		})
	}
	all.Wait()
	if got := len(i.entry(t, key).Do.Data); got != writers {
		t.Fatalf("%d of %d updates are in the entry", got, writers)
	}
	i.wantCount(t, counter, writers)
}

// races runs concurrent updates of the same step: some complete the step, and others reject it. The
// first update determines the entry. The work has taken effect if and only if the entry is
// completed.
func (i Inbox[Tx]) races(t *testing.T) {
	no := participant.Answer{Outcome: contract.OutcomeRejected, Reason: "no"}
	for range 10 {
		key, counter := newKey(), uuid.NewString()
		var all sync.WaitGroup
		for n := range 12 {
			all.Go(func() {
				err := i.update(t, key, func(ctx context.Context, tx Tx, e participant.Entry) (participant.Entry, bool, error) {
					if !e.Do.None() {
						return e, true, nil
					}
					err := i.Add(ctx, tx, counter)
					if n%2 == 0 {
						e.Do, e.Updated = no, now
						return e, false, err
					}
					return done(e, "yes"), true, err
				})
				if err != nil {
					t.Errorf("writer %d: %v", n, err)
				}
			})
		}
		all.Wait()
		want := 0
		if i.entry(t, key).Do.Outcome == contract.OutcomeCompleted {
			want = 1
		}
		i.wantCount(t, counter, want)
	}
}

func (i Inbox[Tx]) distinguishes(t *testing.T) {
	base := newKey()
	keys := slices.Repeat([]participant.StepKey{base}, 11)
	keys[1].Participant += "-other"
	keys[2].Saga = contract.SagaID(bytes.ToUpper([]byte(base.Saga)))
	keys[3].Step += "-other"
	// The same letters, split at other positions.
	keys[4].Saga, keys[4].Step = base.Saga+"x", "y"
	keys[5].Saga, keys[5].Step = base.Saga, "xy"
	keys[6].Participant, keys[6].Saga = base.Participant+"x", "y"+base.Saga
	// A later saga with the same id, and ids that look like an id with a birth.
	keys[7].Birth = base.Birth + 1
	keys[8].Saga, keys[8].Birth = base.Saga+"-1", base.Birth
	keys[9].Saga, keys[9].Birth = base.Saga+"-", base.Birth+36*36
	// The entry of the newest claim.
	keys[10] = participant.StepKey{Participant: "claim-" + uuid.NewString()[:8]}
	for n, key := range keys {
		i.wantEntry(t, key, participant.Entry{})
		err := i.update(t, key, func(_ context.Context, _ Tx, e participant.Entry) (participant.Entry, bool, error) {
			return done(e, fmt.Sprint(n)), true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for n, key := range keys {
		i.wantEntry(t, key, done(participant.Entry{}, fmt.Sprint(n)))
	}
}

func (i Inbox[Tx]) preserves(t *testing.T) {
	all := make([]byte, 256)
	for b := range all {
		all[b] = byte(b)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "every byte": all, "largest result": bytes.Repeat(all, participant.MaxResult/len(all)),
	} {
		key := newKey()
		want := done(participant.Entry{}, string(data))
		want.Undo = participant.Answer{Outcome: contract.OutcomeCompleted, Reason: "é ' \" \\ \n 🙂", Data: data}
		err := i.update(t, key, func(context.Context, Tx, participant.Entry) (participant.Entry, bool, error) {
			return want, true, nil
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := i.entry(t, key); !got.Equal(want) {
			t.Fatalf("%s did not come back as it was stored", name)
		}
	}
}

func (i Inbox[Tx]) prunes(t *testing.T) {
	service := "prune-" + uuid.NewString()[:8]
	store := func(participantName string, age time.Duration) participant.StepKey {
		key := newKey()
		key.Participant = participantName
		err := i.update(t, key, func(_ context.Context, _ Tx, e participant.Entry) (participant.Entry, bool, error) {
			e = done(e, "x")
			e.Updated = now.Add(-age)
			return e, true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	old := []participant.StepKey{store(service, 3*time.Hour), store(service, 2*time.Hour), store(service, 2*time.Hour)}
	young, foreign := store(service, time.Minute), store(service+"-other", 3*time.Hour)
	touched := store(service, 3*time.Hour)
	err := i.update(t, touched, func(_ context.Context, _ Tx, e participant.Entry) (participant.Entry, bool, error) {
		return done(e, "touched"), true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for call, want := range []int{2, 1, 0} {
		n, err := i.Inbox.Prune(t.Context(), service, now.Add(-time.Hour), 2)
		if err != nil || n != want {
			t.Fatalf("call %d of Prune removed %d entries (%v), expected %d", call, n, err, want)
		}
	}
	for _, key := range old {
		i.wantEntry(t, key, participant.Entry{})
	}
	i.wantEntry(t, young, done(participant.Entry{}, "x"))
	i.wantEntry(t, foreign, done(participant.Entry{}, "x"))
	i.wantEntry(t, touched, done(participant.Entry{}, "touched"))
}

// handlers runs the conformance suite for handlers with the inbox.
func (i Inbox[Tx]) handlers(t *testing.T) {
	type request struct {
		Counter string `json:"counter"`
		Refuse  bool   `json:"refuse,omitempty"`
	}
	type result struct {
		Receipt string `json:"receipt"`
	}
	do := contract.NewCommand[request, result]("inbox-test", "count")
	undo := contract.UndoOf(do, "uncount")
	p := participant.New("inbox-test", i.Inbox)
	var closed sync.Map // counters whose undo is rejected
	participant.Handle(p, do, func(ctx context.Context, tx Tx, r request) (result, error) {
		if err := i.Add(ctx, tx, r.Counter); err != nil {
			return result{}, err
		}
		if r.Refuse {
			return result{}, participant.Reject("the counter is locked")
		}
		return result{Receipt: uuid.NewString()}, nil
	})
	participant.HandleUndo(p, undo, func(ctx context.Context, tx Tx, u contract.Undo[request, result]) error {
		if u.Result == nil {
			t.Error("the undo was called without the result that the inbox has")
		}
		if err := i.Add(ctx, tx, "undo of "+u.Request.Counter); err != nil {
			return err
		}
		if _, no := closed.Load(u.Request.Counter); no {
			return participant.Reject("the counter is closed")
		}
		return nil
	})
	Run(t, Step[request, result]{
		Answer:   p.Answer,
		Do:       do,
		Undo:     undo,
		Request:  func() request { return request{Counter: uuid.NewString()} },
		Rejected: func() request { return request{Counter: uuid.NewString(), Refuse: true} },
		RejectedUndo: func() (request, func()) {
			r := request{Counter: uuid.NewString()}
			closed.Store(r.Counter, true)
			return r, func() { closed.Delete(r.Counter) }
		},
		Effects: func(t testing.TB, r request) int {
			return i.Count(t, r.Counter) - i.Count(t, "undo of "+r.Counter)
		},
	})
}
