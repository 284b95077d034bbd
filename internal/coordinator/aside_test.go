package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport/membus"
)

// costly defines a saga whose mappings are too expensive for a shard.
func costly(t testing.TB, name string) *saga.Definition {
	t.Helper()
	const with = `{"sku": input.sku, "all": [1,2,3,4,5,6,7,8,9,10].map(x, [1,2,3,4,5,6,7,8,9,10].map(y, [1,2,3].map(z, x * y * z)))}`
	def, err := saga.New(saga.Spec{Name: name, Version: 1, Steps: []saga.Node{
		{Step: &saga.Step{Name: "reserve", Kind: contract.KindCompensable, Do: saga.Action{Participant: "stock", Action: "reserve", With: with}, Undo: &saga.Action{Participant: "stock", Action: "release"}}},
		{Step: &saga.Step{Name: "ship", Kind: contract.KindPivot, Do: saga.Action{Participant: "post", Action: "ship", With: with}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func startOf(id contract.SagaID, definition string) coordinator.Input {
	in := start(id)
	in.Definition = contract.DefinitionRef{Name: definition}
	return in
}

// picture returns the state of sagas in a store as text, for comparison.
func picture(t *testing.T, s store.Store, ids ...contract.SagaID) string {
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
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + strings.Join(slices.Sorted(slices.Values(pending(t, s))), "\n")
}

// TestCostlyInputsAreGivenBack checks that Step leaves a saga undecided from the input that needs
// an expensive mapping. Nothing of that input is committed, but the other sagas of the batch are.
// After the mapping was evaluated, the saga ends as if it had been evaluated at once.
func TestCostlyInputsAreGivenBack(t *testing.T) {
	def := costly(t, "dear")
	plain, s := memstore.New(), memstore.New()
	want, e := newEngine(t, plain), newEngine(t, s)
	for _, one := range []*coordinator.Engine{want, e} {
		if err := one.Register(t.Context(), def); err != nil {
			t.Fatal(err)
		}
	}
	e.EvaluateBeside(machine.BatchCost)
	pause := coordinator.Input{Saga: "s1", Event: machine.Event{Type: contract.EventOperationTaken, At: noon, Operation: contract.OperationPause, By: "kim", Reason: "wait"}}
	inputs := []coordinator.Input{startOf("s1", "dear"), start("s2"), pause, startOf("s3", "dear")}
	step(t, want, inputs...)

	out := step(t, e, inputs...)
	if len(out.Committed) != 1 || out.Results[1].Err != nil || len(out.Enqueued) != 2 {
		t.Errorf("%d sagas were moved, %d messages pending: %v", len(out.Committed), len(out.Enqueued), out.Results[1].Err)
	}
	for _, i := range []int{0, 2, 3} {
		if r := out.Results[i]; !errors.Is(r.Err, machine.ErrCostly) || r.Instance != nil {
			t.Errorf("input %d: %+v", i, r)
		}
	}
	if len(out.Costly) != 2 || out.Costly[0].Saga != "s1" || !slices.Equal(out.Costly[0].Inputs, []int{0, 2}) || !slices.Equal(out.Costly[1].Inputs, []int{3}) {
		t.Fatalf("%+v", out.Costly)
	}
	for _, id := range []contract.SagaID{"s1", "s3"} {
		if _, err := s.Load(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s is there: %v", id, err)
		}
	}
	var again []coordinator.Input
	for i := range out.Costly {
		e.Provide(out.Costly[i].Saga, out.Costly[i].Evaluate())
		for _, k := range out.Costly[i].Inputs {
			again = append(again, inputs[k])
		}
	}
	if out = step(t, e, again...); len(out.Costly) != 0 || len(out.Committed) != 2 {
		t.Errorf("%d sagas were moved, and %d are costly", len(out.Committed), len(out.Costly))
	}
	if diff := cmp.Diff(picture(t, plain, "s1", "s2", "s3"), picture(t, s, "s1", "s2", "s3")); diff != "" {
		t.Errorf("the other way round it is otherwise:\n%s", diff)
	}

	// For an existing saga, the inputs before the expensive one are committed, and the results
	// provided earlier are forgotten.
	resume := pause
	resume.Event.Operation = contract.OperationResume
	inputs = []coordinator.Input{resume, completed("s1", "stock", "reserve"), pause}
	step(t, want, inputs...)
	out = step(t, e, inputs...)
	if len(out.Costly) != 1 || !slices.Equal(out.Costly[0].Inputs, []int{1, 2}) || len(out.Committed) != 1 {
		t.Fatalf("%d moved, %+v", len(out.Committed), out.Costly)
	}
	e.Provide("s1", out.Costly[0].Evaluate())
	if out = step(t, e, inputs[1:]...); len(out.Costly) != 0 {
		t.Errorf("%+v", out.Costly)
	}
	if diff := cmp.Diff(picture(t, plain, "s1"), picture(t, s, "s1")); diff != "" {
		t.Errorf("the other way round it is otherwise:\n%s", diff)
	}
}

// TestCostlyConflict checks that an expensive input is decided again if another coordinator has
// changed the saga.
func TestCostlyConflict(t *testing.T) {
	def := costly(t, "dear")
	s := memstore.New()
	e, other := newEngine(t, s), newEngine(t, s)
	if err := e.Register(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	if err := other.Register(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	step(t, e, startOf("s1", "dear"))
	e.EvaluateBeside(machine.BatchCost)
	pause := coordinator.Input{Saga: "s1", Event: machine.Event{Type: contract.EventOperationTaken, At: noon, Operation: contract.OperationPause, By: "kim", Reason: "wait"}}
	step(t, other, pause) // not in e's cache; a paused saga undoes nothing and needs no mapping
	cancel := pause
	cancel.Event.Operation = contract.OperationCancel
	out := step(t, e, cancel, completed("s1", "stock", "reserve"))
	if len(out.Costly) != 0 || errors.Join(out.Results[0].Err, out.Results[1].Err) != nil || len(out.Committed) != 1 {
		t.Errorf("%d moved, %+v, %v, %v", len(out.Committed), out.Costly, out.Results[0].Err, out.Results[1].Err)
	}
}

// many is the number of sagas that may be set aside in these tests; manyBytes bounds their data.
const (
	many      = 256
	manyBytes = 1 << 20
)

// gate blocks evaluations until it is opened.
type gate struct {
	open    chan struct{}
	mu      sync.Mutex
	reached int
}

func (g *gate) wait() {
	g.mu.Lock()
	g.reached++
	g.mu.Unlock()
	<-g.open
}

// besides returns a fixture with its own definitions, and a gate before each evaluation.
func besides(t *testing.T, config coordinator.Config, defs ...*saga.Definition) (*fixture, *coordinator.Coordinator, *gate) {
	t.Helper()
	w := newFixture(t, membus.Options{})
	if err := w.stopCoordinator(); err != nil {
		t.Fatal(err)
	}
	g := &gate{open: make(chan struct{})}
	config.Store, config.Bus, config.Secret, config.Logger = w.store, w.bus, []byte("secret"), slog.New(slog.DiscardHandler)
	config.Definitions = append([]*saga.Definition{checkout}, defs...)
	c, err := coordinator.New(config)
	if err != nil {
		t.Fatal(err)
	}
	coordinator.BeforeEvaluating(c, g.wait)
	coordinator.BoundAside(c, many, manyBytes)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	w.stopCoordinator = sync.OnceValue(func() error { cancel(); return <-done })
	synctest.Wait()
	return w, c, g
}

// leave stops a fixture whose sagas have definitions other than checkout.
func (w *fixture) leave() {
	w.t.Helper()
	if err := w.stopCoordinator(); err != nil {
		w.t.Errorf("coordinator: %v", err)
	}
	w.stopServices()
	if err := w.dead.Close(); err != nil {
		w.t.Error(err)
	}
	w.bus.Close()
}

// begin starts a saga in the background, with an hour's time limit.
func (w *fixture) begin(ctx context.Context, definition string, id contract.SagaID) <-chan error {
	return w.beginWith(ctx, definition, id, order{"tea"})
}

func (w *fixture) beginWith(ctx context.Context, definition string, id contract.SagaID, input any) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		_, err := client.New(w.bus).Start(ctx, contract.DefinitionRef{Name: definition}, input, client.ID(id))
		done <- err
	}()
	return done
}

// TestCostlyMappingDelaysNobody checks that other sagas on the same shard start and end while one
// saga's mapping is evaluated. Inputs for that saga wait, and are decided in order. Shutdown waits
// for the evaluation.
func TestCostlyMappingDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, g := besides(t, coordinator.Config{Shards: 1}, costly(t, "dear"))
		started := w.begin(t.Context(), "dear", "s1")
		synctest.Wait()
		if g.reached != 1 {
			t.Fatalf("%d evaluations have begun", g.reached)
		}
		cancelled := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := client.New(w.bus).Cancel(ctx, "s1", api.Decision{By: "kim", Reason: "enough"})
			cancelled <- err
		}()
		for i := range 10 {
			if s := w.run(fmt.Sprint("other-", i)); s.Phase != contract.PhaseCompleted {
				t.Errorf("another saga is %s", s.Phase)
			}
		}
		select {
		case err := <-started:
			t.Fatalf("it is started: %v", err)
		case err := <-cancelled:
			t.Fatalf("it is cancelled: %v", err)
		default:
		}
		stats, err := c.Stats(t.Context())
		if err != nil || stats.WaitingInputs != 2 {
			t.Errorf("%d inputs wait: %v", stats.WaitingInputs, err)
		}
		stopped := make(chan error, 1)
		go func() { stopped <- w.stopCoordinator() }()
		synctest.Wait()
		close(g.open)
		if err := errors.Join(<-started, <-cancelled, <-stopped); err != nil {
			t.Error(err)
		}
		events, err := w.store.History(t.Context(), "s1", 1, 10)
		if err != nil || len(events) < 2 || events[0].Type != contract.EventStarted || events[1].Type != contract.EventOperationTaken {
			t.Errorf("its history: %+v, %v", events, err)
		}
		w.leave()
	})
}

// TestCostlyIsBounded checks that the number of sagas that wait for mappings is bounded, and that
// each definition leaves room for others. Inputs beyond the limit are refused for now and accepted
// later.
func TestCostlyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &refusals{}
		w, _, g := besides(t, coordinator.Config{Shards: 1, Observer: refused}, costly(t, "dear"), costly(t, "costly"))
		var first, second []<-chan error
		for i := range many {
			first = append(first, w.begin(t.Context(), "dear", contract.SagaID(fmt.Sprint("a-", i))))
		}
		time.Sleep(time.Second) // virtual: the shard gathers
		for i := range many / 8 {
			second = append(second, w.begin(t.Context(), "costly", contract.SagaID(fmt.Sprint("b-", i))))
		}
		time.Sleep(time.Second) // virtual
		count := func(done []<-chan error) (waiting []<-chan error, busy int) {
			for _, one := range done {
				select {
				case err := <-one:
					var refused *client.Error
					if !errors.As(err, &refused) || !errors.Is(err, client.ErrOverloaded) || refused.RetryAfter <= 0 {
						t.Errorf("%v", err)
					}
					busy++
				default:
					waiting = append(waiting, one)
				}
			}
			return waiting, busy
		}
		ones, busy := count(first)
		if n := len(ones); n < many/2 || n > many/2+3 || busy != many-n {
			t.Errorf("of the first %d wait and %d are refused, of %d", n, busy, many)
		}
		others, busy := count(second)
		if busy > 0 {
			t.Errorf("of the others %d wait and %d are refused", len(others), busy)
		}
		if n := refused.by[coordinator.LimitWaiting]; n < many/2-3 {
			t.Errorf("%d refusals are counted", n)
		}
		if s := w.run("plain"); s.Phase != contract.PhaseCompleted {
			t.Errorf("another saga is %s", s.Phase)
		}
		close(g.open)
		for i, one := range slices.Concat(ones, others) {
			if err := <-one; err != nil {
				t.Errorf("start %d: %v", i, err)
			}
		}
		w.leave()
	})
}

// TestCostlyDataIsBounded checks that the data of waiting sagas is bounded.
func TestCostlyDataIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, g := besides(t, coordinator.Config{Shards: 1}, costly(t, "dear"), costly(t, "costly"))
		large := order{strings.Repeat("x", manyBytes/16)}
		var first []<-chan error
		for i := range 16 {
			first = append(first, w.beginWith(t.Context(), "dear", contract.SagaID(fmt.Sprint("a-", i)), large))
		}
		time.Sleep(time.Second) // virtual
		other := w.beginWith(t.Context(), "costly", "b", large)
		time.Sleep(time.Second) // virtual
		waiting := 0
		for _, one := range append(first, other) {
			select {
			case err := <-one:
				if !errors.Is(err, client.ErrOverloaded) {
					t.Errorf("%v", err)
				}
			default:
				waiting++
			}
		}
		if waiting < 9 || waiting > 11 { // half of the room, the one that exceeds it, and one of another definition
			t.Errorf("%d starts wait", waiting)
		}
		close(g.open)
		if err := <-other; err != nil {
			t.Error(err)
		}
		w.leave()
	})
}

// TestCostlyAnswersComeAgain checks that an answer beyond the limit is returned to the bus and
// accepted later. No answer is lost.
func TestCostlyAnswersComeAgain(t *testing.T) {
	const with = `[1,2,3,4,5,6,7,8,9,10].map(x, [1,2,3,4,5,6,7,8,9,10].map(y, [1,2,3].map(z, x * y * z)))`
	later, err := saga.New(saga.Spec{Name: "later", Version: 1, Steps: []saga.Node{
		{Step: &saga.Step{Name: "reserve", Kind: contract.KindRetriable, Do: saga.Action{Participant: "stock", Action: "reserve"}}},
		{Step: &saga.Step{Name: "charge", Kind: contract.KindRetriable, Do: saga.Action{Participant: "bank", Action: "charge", With: `{"sku": string(size(` + with + `))}`}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w, _, g := besides(t, coordinator.Config{Shards: 1}, later)
		for i := range many {
			if err := <-w.begin(t.Context(), "later", contract.SagaID(fmt.Sprint("a-", i))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if s := w.run("plain"); s.Phase != contract.PhaseCompleted {
			t.Errorf("another saga is %s", s.Phase)
		}
		time.Sleep(3 * time.Second) // virtual: what does not fit is redelivered repeatedly
		close(g.open)
		opened := time.Now()
		for i := range many {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			s, err := client.New(w.bus).Wait(ctx, contract.SagaID(fmt.Sprint("a-", i)))
			if cancel(); err != nil || s.Phase != contract.PhaseCompleted {
				t.Fatalf("saga %d is %+v: %v", i, s, err)
			}
			for _, step := range s.Steps {
				if step.Attempt != 1 {
					t.Errorf("saga %d: step %s took %d attempts", i, step.Name, step.Attempt)
				}
			}
		}
		if took := time.Since(opened); took > 5*time.Second {
			t.Errorf("it took %s until all were taken: they were not given back", took)
		}
		w.leave()
	})
}
