package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
)

// testModel makes the same random calls to the store and to the model and compares the results.
// Between two runs, it empties the store by letting everything expire.
func testModel(t *testing.T, h Harness) {
	under := h.Store
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &stateMachine{
			t: t, h: h, store: under, model: memstore.New(), now: Epoch.Add(time.Duration(run) * 1000 * time.Hour),
			latest: map[contract.SagaID]*machine.Instance{},
		}
		defer func() { // also after a failure, so that rapid can repeat and shrink the run
			under = m.store
			if err := m.empty(); err != nil {
				t.Errorf("empty the store: %v", err)
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"start":   m.start,
			"move":    m.move,
			"group":   m.group,
			"stale":   m.stale,
			"discard": m.discard,
			"expire":  m.expire,
			"reopen":  m.reopen,
			"wait": func(rt *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(0, 120).Draw(rt, "seconds")) * time.Second)
			},
			"list": m.list,
			"due":  m.due,
			"read": m.read,
			"":     m.check,
		})
	})
}

// stateMachine holds the state of one run.
type stateMachine struct {
	t            *testing.T
	h            Harness
	store, model store.Store
	now          time.Time
	latest       map[contract.SagaID]*machine.Instance // latest states, committed or not
}

func (m *stateMachine) id(rt *rapid.T) contract.SagaID {
	return contract.SagaID(rapid.SampledFrom([]string{"a", "a-", "a-1", "a:", "aa", "b", "order-1", "order-10", "order-2", "z"}).Draw(rt, "id"))
}

// same compares two results by their values and by the kinds of their errors.
func same(rt *rapid.T, what string, got, want any, gotErr, wantErr error) {
	rt.Helper()
	for _, target := range []error{
		store.ErrNotFound, store.ErrConflict, store.ErrEnded, store.ErrInvalid, store.ErrCursor, store.ErrDefinitionConflict,
	} {
		if errors.Is(gotErr, target) != errors.Is(wantErr, target) {
			rt.Fatalf("%s: error %v, the model has %v", what, gotErr, wantErr)
		}
	}
	if (gotErr == nil) != (wantErr == nil) {
		rt.Fatalf("%s: error %v, the model has %v", what, gotErr, wantErr)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), sameBytes); diff != "" {
		rt.Fatalf("%s (-model +store):\n%s", what, diff)
	}
}

func (m *stateMachine) commit(rt *rapid.T, changes ...store.Change) {
	got, gotErr := m.store.Commit(context.Background(), changes)
	want, wantErr := m.model.Commit(context.Background(), changes)
	if gotErr != nil || wantErr != nil {
		rt.Fatalf("Commit: %v, the model: %v", gotErr, wantErr)
	}
	for i := range changes {
		same(rt, fmt.Sprintf("Commit, change %d", i), got[i] == nil, want[i] == nil, got[i], want[i])
		var a, b *store.ConflictError
		if errors.As(got[i], &a) && errors.As(want[i], &b) {
			same(rt, "conflict", *a, *b, nil, nil)
		}
		if want[i] == nil {
			m.latest[changes[i].Instance.ID] = changes[i].Instance
		}
	}
}

func (m *stateMachine) newStart(rt *rapid.T) store.Change {
	ref := rapid.SampledFrom([]contract.DefinitionRef{Checkout, {Name: "checkout", Version: 1}, {Name: "refund", Version: 1}}).Draw(rt, "definition")
	return Start(m.id(rt), ref, m.now)
}

func (m *stateMachine) newMove(rt *rapid.T) (store.Change, bool) {
	in := m.latest[m.id(rt)]
	if in == nil || !in.Open() {
		return store.Change{}, false
	}
	moves := []func(*machine.Instance, time.Time) store.Change{Next, Next, Next, Reject, Park}
	if in.Phase == contract.PhaseParked {
		moves = append(moves, Abandon)
	}
	return rapid.SampledFrom(moves).Draw(rt, "move")(in, m.now), true
}

func (m *stateMachine) start(rt *rapid.T) { m.commit(rt, m.newStart(rt)) }

func (m *stateMachine) move(rt *rapid.T) {
	if c, ok := m.newMove(rt); ok {
		m.commit(rt, c)
	}
}

func (m *stateMachine) group(rt *rapid.T) {
	var changes []store.Change
	for range rapid.IntRange(0, 6).Draw(rt, "changes") {
		if c, ok := m.newMove(rt); ok && rapid.Bool().Draw(rt, "move") {
			changes = append(changes, c)
		} else {
			changes = append(changes, m.newStart(rt))
		}
	}
	m.commit(rt, changes...)
}

// stale commits a change that does not expect the latest revision.
func (m *stateMachine) stale(rt *rapid.T) {
	if c, ok := m.newMove(rt); ok {
		by := rapid.Uint64Range(1, 3).Draw(rt, "ahead")
		c.Expected += by
		c.Instance.Revision += by
		c.Enqueue = nil
		m.commit(rt, c)
	}
}

func (m *stateMachine) discard(rt *rapid.T) {
	var list []outbox.ID
	_ = outbox.All(context.Background(), m.model, func(_ outbox.Position, r outbox.Record) bool {
		if rapid.Bool().Draw(rt, "discard") {
			list = append(list, r.ID)
		}
		return true
	})
	list = append(list, outbox.ID{Saga: m.id(rt), Revision: 99})
	same(rt, "Discard", nil, nil, m.store.Discard(context.Background(), list), m.model.Discard(context.Background(), list))
}

func (m *stateMachine) expire(rt *rapid.T) {
	past := func(name string) time.Time {
		return m.now.Add(-time.Duration(rapid.IntRange(-1, 300).Draw(rt, name)) * time.Second)
	}
	ended, drop, limit := past("ended"), past("drop"), rapid.IntRange(0, 4).Draw(rt, "limit")
	removed, dropped, err := m.store.Expire(context.Background(), ended, drop, limit)
	wantRemoved, wantDropped, wantErr := m.model.Expire(context.Background(), ended, drop, limit)
	same(rt, "Expire", []int{removed, dropped}, []int{wantRemoved, wantDropped}, err, wantErr)
}

func (m *stateMachine) reopen(rt *rapid.T) {
	if rapid.IntRange(0, 4).Draw(rt, "reopen") > 0 {
		return
	}
	// Discards need not be durable. If the store lost one, undo it in the model too.
	m.store = m.h.Reopen(m.t)
	have := map[outbox.ID]bool{}
	_ = outbox.All(context.Background(), m.store, func(_ outbox.Position, r outbox.Record) bool { have[r.ID] = true; return true })
	_ = outbox.All(context.Background(), m.model, func(_ outbox.Position, r outbox.Record) bool {
		if !have[r.ID] {
			rt.Fatalf("record %s is lost", r.ID)
		}
		delete(have, r.ID)
		return true
	})
	var again []outbox.ID
	for id := range have {
		again = append(again, id)
	}
	_ = m.store.Discard(context.Background(), again)
}

func (m *stateMachine) list(rt *rapid.T) {
	f := store.Filter{
		Definition: rapid.SampledFrom([]string{"", "", "checkout", "refund"}).Draw(rt, "definition"),
		Version:    rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(rt, "version"),
		IDPrefix:   rapid.SampledFrom([]string{"", "", "a", "order-1", "q"}).Draw(rt, "prefix"),
		OpenOnly:   rapid.Bool().Draw(rt, "open"),
		Phases:     rapid.SliceOfN(rapid.SampledFrom([]contract.Phase{contract.PhaseRunning, contract.PhaseParked, contract.PhaseCompleted}), 0, 2).Draw(rt, "phases"),
	}
	if rapid.Bool().Draw(rt, "after") {
		f.StartedAfter = m.now.Add(-time.Minute)
	}
	if rapid.Bool().Draw(rt, "ids") {
		f.IDs = []contract.SagaID{m.id(rt), m.id(rt)}
	}
	if rapid.Bool().Draw(rt, "stuck") {
		f.UpdatedBefore = m.now.Add(-time.Minute)
	}
	f.Reason = rapid.SampledFrom([]string{"", "", "DECLINED"}).Draw(rt, "reason")
	limit := rapid.IntRange(0, 4).Draw(rt, "limit")
	got, _, err := listAll(context.Background(), m.store, f, limit)
	want, _, wantErr := listAll(context.Background(), m.model, f, limit)
	same(rt, "List", got, want, err, wantErr)
}

func (m *stateMachine) due(rt *rapid.T) {
	now := m.now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(rt, "seconds")) * time.Second)
	limit := rapid.IntRange(0, 4).Draw(rt, "limit")
	got, next, err := m.store.Due(context.Background(), now, limit)
	want, wantNext, wantErr := m.model.Due(context.Background(), now, limit)
	same(rt, "Due", got, want, err, wantErr)
	if next.IsZero() != wantNext.IsZero() || next.After(wantNext) {
		rt.Fatalf("Due, next: %s, and the next one is due at %s", next, wantNext)
	}
}

func (m *stateMachine) read(rt *rapid.T) {
	id := m.id(rt)
	from, limit := rapid.Uint64Range(0, 8).Draw(rt, "from"), rapid.IntRange(0, 4).Draw(rt, "limit")
	got, err := m.store.History(context.Background(), id, from, limit)
	want, wantErr := m.model.History(context.Background(), id, from, limit)
	same(rt, "History", got, want, err, wantErr)
	in, err := m.store.Load(context.Background(), id)
	wantIn, wantErr := m.model.Load(context.Background(), id)
	same(rt, "Load", in, wantIn, err, wantErr)
	var a, b *store.TombstoneError
	if errors.As(err, &a) && errors.As(wantErr, &b) {
		same(rt, "tombstone", *a, *b, nil, nil)
	}
}

// check runs after every call.
func (m *stateMachine) check(rt *rapid.T) {
	got, err := m.store.Counts(context.Background())
	want, wantErr := m.model.Counts(context.Background())
	same(rt, "Counts", got, want, err, wantErr)
	pending := func(s store.Store) (list []outbox.Record) {
		if err := outbox.All(context.Background(), s, func(_ outbox.Position, r outbox.Record) bool { list = append(list, r); return true }); err != nil {
			rt.Fatal(err)
		}
		return list
	}
	same(rt, "Owed", pending(m.store), pending(m.model), nil, nil)
}

// empty ends every saga and lets everything expire.
func (m *stateMachine) empty() error {
	ctx := context.Background()
	list, _, err := listAll(ctx, m.store, store.Filter{OpenOnly: true}, 0)
	if err != nil {
		return err
	}
	for _, sum := range list {
		in, err := m.store.Load(ctx, sum.ID)
		if err != nil {
			return err
		}
		results, err := m.store.Commit(ctx, []store.Change{Abandon(in, m.now)})
		if err = errors.Join(append(results, err)...); err != nil {
			return err
		}
	}
	later := m.now.Add(time.Hour)
	if _, _, err := m.store.Expire(ctx, later, time.Time{}, 0); err != nil {
		return err
	}
	_, _, err = m.store.Expire(ctx, time.Time{}, later, 0)
	return err
}
