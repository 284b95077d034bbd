package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

func testLoad(t *testing.T, h Harness) {
	s := h.Store
	in := begin(t, s, "order-1", Epoch)
	for in.Open() {
		equal(t, "loaded state", load(t, s, in.ID), in)
		c := Next(in, in.Updated.Add(time.Second))
		commit(t, s, c)
		in = c.Instance
	}
	equal(t, "loaded state at the end", load(t, s, in.ID), in)
	rejected := begin(t, s, "order-2", Epoch)
	for _, move := range []func(*machine.Instance, time.Time) store.Change{Next, Reject, Next} {
		c := move(rejected, rejected.Updated.Add(time.Second))
		commit(t, s, c)
		rejected = c.Instance
	}
	equal(t, "phase", rejected.Phase, contract.PhaseCompensated)
	equal(t, "state of a saga that went back", load(t, s, "order-2"), rejected)
	_, err := s.Load(t.Context(), "order-3")
	wantError(t, "Load of an unknown saga", err, store.ErrNotFound)
	_, err = s.Load(t.Context(), "order")
	wantError(t, "Load of a prefix of an id", err, store.ErrNotFound)
}

func load(t testing.TB, s store.Store, id contract.SagaID) *machine.Instance {
	t.Helper()
	in, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load(%s): %v", id, err)
	}
	return in
}

func testRevisions(t *testing.T, h Harness) {
	s := h.Store
	first := Start("order-1", Checkout, Epoch)
	commit(t, s, first)
	wantConflict(t, commitOne(t, s, first), store.ConflictError{Saga: "order-1", Expected: 0, Actual: 1})

	second := Next(first.Instance, Epoch.Add(time.Second))
	unknown := Next(Start("order-2", Checkout, Epoch).Instance, Epoch)
	wantConflict(t, commitOne(t, s, unknown), store.ConflictError{Saga: "order-2", Expected: 1, Actual: 0})
	commit(t, s, second)
	wantConflict(t, commitOne(t, s, second), store.ConflictError{Saga: "order-1", Expected: 1, Actual: 2})
	equal(t, "state after conflicts", load(t, s, "order-1"), second.Instance)
	third := Next(Next(second.Instance, Epoch).Instance, Epoch)
	wantConflict(t, commitOne(t, s, third), store.ConflictError{Saga: "order-1", Expected: 3, Actual: 2})
	equal(t, "pending after conflicts", ids(pendingBy(t, s)), []outbox.ID{{Saga: "order-1", Birth: contract.BirthOf(Epoch), Revision: 2}})
}

func testIndependent(t *testing.T, h Harness) {
	s := h.Store
	in := begin(t, s, "order-1", Epoch)
	results, err := s.Commit(t.Context(), []store.Change{
		Start("order-2", Checkout, Epoch),
		Start("order-1", Checkout, Epoch), // conflict
		{},                                // invalid
		Next(in, Epoch.Add(time.Second)),
		Start("order-3", Checkout, Epoch),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, store.ErrConflict, store.ErrInvalid, nil, nil} {
		if want == nil && results[i] != nil || want != nil && !errors.Is(results[i], want) {
			t.Errorf("result %d is %v, want %v", i, results[i], want)
		}
	}
	equal(t, "revision", load(t, s, "order-1").Revision, uint64(2))
	load(t, s, "order-2")
	load(t, s, "order-3")
	results, err = s.Commit(t.Context(), nil)
	if err != nil || len(results) != 0 {
		t.Fatalf("Commit of nothing: %v, %v", results, err)
	}
}

func testSeveral(t *testing.T, h Harness) {
	s := h.Store
	one := Start("order-1", Checkout, Epoch)
	two := Next(one.Instance, Epoch.Add(time.Second))
	three := Next(two.Instance, Epoch.Add(2*time.Second))
	commit(t, s, one, two, three)
	equal(t, "state", load(t, s, "order-1"), three.Instance)

	// Two events in one change.
	four := Next(three.Instance, Epoch.Add(3*time.Second))
	five := Next(four.Instance, Epoch.Add(4*time.Second))
	both := store.Change{
		Expected: 3, Instance: five.Instance,
		Events:  append(four.Events[:1:1], five.Events...),
		Enqueue: append(four.Enqueue[:1:1], five.Enqueue...),
		Discard: append(four.Discard[:1:1], five.Discard...),
	}
	commit(t, s, both)
	equal(t, "state", load(t, s, "order-1"), five.Instance)
	equal(t, "history", history(t, s, "order-1", 0, 0), []machine.Event{
		one.Events[0], two.Events[0], three.Events[0], four.Events[0], five.Events[0],
	})
	equal(t, "what is pending", ids(pendingBy(t, s)), []outbox.ID{{Saga: "order-1", Birth: contract.BirthOf(Epoch), Revision: 5, Index: 1}})
}

func testInvalid(t *testing.T, h Harness) {
	s := h.Store
	broken := func(name string, breakIt func(*store.Change)) {
		t.Helper()
		c := Start("order-1", Checkout, Epoch)
		breakIt(&c)
		if err := commitOne(t, s, c); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	broken("no instance", func(c *store.Change) { c.Instance = nil })
	broken("no event", func(c *store.Change) { c.Events = nil })
	broken("revision ahead", func(c *store.Change) { c.Instance.Revision = 2 })
	broken("expected ahead", func(c *store.Change) { c.Expected = 1 })
	broken("bad id", func(c *store.Change) { c.Instance.ID = "a.b" })
	broken("no id", func(c *store.Change) { c.Instance.ID = "" })
	broken("no phase", func(c *store.Change) { c.Instance.Phase = "" })
	broken("unknown phase", func(c *store.Change) { c.Instance.Phase = "sleeping" })
	broken("running and ended", func(c *store.Change) { c.Instance.Ended = Epoch })
	broken("completed and open", func(c *store.Change) { c.Instance.Phase = contract.PhaseCompleted })
	broken("no start", func(c *store.Change) { c.Instance.Started = time.Time{} })
	broken("time out of range", func(c *store.Change) { c.Instance.Started = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) })
	broken("no definition", func(c *store.Change) { c.Instance.Definition = contract.DefinitionRef{} })
	broken("event without time", func(c *store.Change) { c.Events[0].At = time.Time{} })
	broken("entry of another saga", func(c *store.Change) { c.Enqueue[0].ID.Saga = "order-2" })
	broken("entry of another revision", func(c *store.Change) { c.Enqueue[0].ID.Revision = 2 })
	broken("entry of no revision", func(c *store.Change) { c.Enqueue[0].ID.Revision = 0 })
	broken("entry without subject", func(c *store.Change) { c.Enqueue[0].Envelope.Subject = "" })
	broken("the same entry twice", func(c *store.Change) { c.Enqueue = append(c.Enqueue, c.Enqueue[0]) })
	_, err := s.Load(t.Context(), "order-1")
	wantError(t, "Load after invalid changes", err, store.ErrNotFound)
	equal(t, "what is pending", pendingBy(t, s), []outbox.Record(nil))
}

func testSharing(t *testing.T, h Harness) {
	s := h.Store
	c, want := Start("order-1", Checkout, Epoch), Start("order-1", Checkout, Epoch)
	commit(t, s, c)
	spoil := func(in *machine.Instance) {
		in.Input[0], in.Steps[0].Do, in.Phase = '#', machine.Side{}, contract.PhaseParked
	}
	spoil(c.Instance)
	c.Events[0].Payload[0], c.Enqueue[0].Envelope.Data[0] = '#', '#'
	spoil(load(t, s, "order-1"))
	equal(t, "state", load(t, s, "order-1"), want.Instance)
	history(t, s, "order-1", 1, 1)[0].Payload[0] = '#'
	equal(t, "history", history(t, s, "order-1", 1, 1), want.Events)
	pendingBy(t, s)[0].Envelope.Data[0] = '#'
	equal(t, "what is pending", pendingBy(t, s), want.Enqueue)
}

func testConstantStart(t *testing.T, h Harness) {
	s := h.Store
	start := Start("order-1", Checkout, Epoch)
	start.Enqueue[0].Envelope.Data = start.Instance.Input
	commit(t, s, start)
	c := Next(start.Instance, Epoch.Add(time.Second))
	constant := c.Instance.Start
	for what, change := range map[string]func(*machine.Start){
		"another definition": func(s *machine.Start) { s.Definition = contract.DefinitionRef{Name: "other", Version: 9} },
		"another input":      func(s *machine.Start) { s.Input = []byte(`{"other":true}`) },
		"no input":           func(s *machine.Start) { s.Input = nil },
	} {
		change(&c.Instance.Start)
		results, err := s.Commit(t.Context(), []store.Change{c})
		if err != nil || !errors.Is(results[0], store.ErrInvalid) {
			t.Errorf("a change with %s: %v, %v; want ErrInvalid", what, results, err)
		}
		c.Instance.Start = constant
	}
	equal(t, "state", load(t, s, "order-1"), start.Instance)
	equal(t, "what is pending", pendingBy(t, s), start.Enqueue)
	commit(t, s, c)
	equal(t, "state after the change", load(t, s, "order-1"), c.Instance)
	equal(t, "what began it", history(t, s, "order-1", 1, 1), start.Events)
}

func testLarge(t *testing.T, h Harness) {
	s := h.Store
	c := Start("order-1", Checkout, Epoch)
	c.Instance.Input = bytes.Repeat([]byte("0123456789abcdef"), contract.MaxPayload/16)
	c.Events[0].Payload = c.Instance.Input
	c.Enqueue[0].Envelope.Data = c.Instance.Input
	commit(t, s, c)
	in := c.Instance
	for i := range 3 {
		c = Next(in, Epoch.Add(time.Duration(i)*time.Second))
		c.Instance.Steps[i].Result = bytes.Repeat([]byte{byte(i)}, contract.MaxPayload)
		commit(t, s, c)
		in = c.Instance
	}
	equal(t, "state", load(t, s, "order-1"), in)
	long := contract.SagaID(bytes.Repeat([]byte("x"), 128))
	equal(t, "state with the longest id", load(t, s, begin(t, s, long, Epoch).ID).ID, long)
}

func testTwoWriters(t *testing.T, h Harness) {
	s := h.Store
	in := begin(t, s, "order-1", Epoch)
	for round := range 50 {
		moves := []store.Change{Next(in, Epoch.Add(time.Second)), Park(in, Epoch.Add(2*time.Second))}
		if in.Phase != contract.PhaseRunning {
			break
		}
		results := make([]error, len(moves))
		var wg sync.WaitGroup
		for i := range moves {
			wg.Go(func() {
				r, err := s.Commit(t.Context(), moves[i:i+1])
				results[i] = errors.Join(append(r, err)...)
			})
		}
		wg.Wait()
		winner := 0
		if results[0] != nil {
			winner = 1
		}
		if results[winner] != nil || !errors.Is(results[1-winner], store.ErrConflict) {
			t.Fatalf("round %d: results %v: one writer must win, the other see a conflict", round, results)
		}
		in = moves[winner].Instance
		equal(t, "state of the winner", load(t, s, "order-1"), in)
	}
}

func testConcurrent(t *testing.T, h Harness) {
	s := h.Store
	const writers, sagas = 16, 5
	var wg sync.WaitGroup
	errs := make(chan error, writers+4)
	stop := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			for i := range sagas {
				if err := runSaga(t, s, contract.SagaID(fmt.Sprintf("w%02d-%03d", w, i))); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := readAround(t, s); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	counts, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "counts", counts, []store.Count{{Definition: Checkout, Phase: contract.PhaseCompleted, Sagas: writers * sagas, Ended: writers * sagas}})
}

// runSaga runs a saga to its end.
func runSaga(t testing.TB, s store.Store, id contract.SagaID) error {
	c := Start(id, Checkout, Epoch)
	for {
		results, err := s.Commit(t.Context(), []store.Change{c})
		if err = errors.Join(append(results, err)...); err != nil {
			return fmt.Errorf("saga %s: %w", id, err)
		}
		if !c.Instance.Open() {
			return s.Discard(t.Context(), ids(c.Enqueue))
		}
		in, err := s.Load(t.Context(), id)
		if err != nil {
			return err
		}
		c = Next(in, in.Updated.Add(time.Millisecond))
	}
}

func readAround(t testing.TB, s store.Store) error {
	ctx := t.Context()
	list, _, err := s.List(ctx, store.Filter{OpenOnly: true}, store.Page{Limit: 20})
	for i := range list {
		events, err := s.History(ctx, list[i].ID, 1, 0)
		if err != nil || uint64(len(events)) < list[i].Revision {
			return fmt.Errorf("saga %s at revision %d has %d events, %w", list[i].ID, list[i].Revision, len(events), err)
		}
	}
	_, _, due := s.Due(ctx, Epoch.Add(time.Hour), 10)
	pending := outbox.All(ctx, s, func(outbox.Position, outbox.Record) bool { return true })
	_, counts := s.Counts(ctx)
	return errors.Join(err, due, pending, counts)
}
