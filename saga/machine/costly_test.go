package machine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// quickData is more data than a quick evaluation may read.
const quickData = 16 << 10

// two returns a saga whose second step has a mapping and whose input has a schema.
func two(t testing.TB, with string) *saga.Definition {
	t.Helper()
	def, err := saga.New(saga.Spec{
		Name: "two", Version: 1, Input: &saga.Schema{Kind: saga.SchemaObject, Fields: map[string]*saga.Schema{"n": {Kind: saga.SchemaInt}, "s": {Kind: saga.SchemaString, Optional: true}}},
		Steps: []saga.Node{
			{Step: &saga.Step{Name: "one", Kind: contract.KindCompensable, Do: saga.Action{Participant: "p", Action: "act"}, Undo: &saga.Action{Participant: "p", Action: "undo"}}},
			{Step: &saga.Step{Name: "two", Kind: contract.KindCompensable, Do: saga.Action{Participant: "p", Action: "act", With: with}, Undo: &saga.Action{Participant: "p", Action: "undo"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// dear is an expression that costs more than a quick evaluation may, but less than the maximum.
const dear = `{"n": input.n, "k": [1,2,3,4,5,6,7,8,9,10].map(x, [1,2,3,4,5,6,7,8,9,10].map(y, [1,2,3].map(z, x * y * z)))}`

var oneDone = machine.Event{Type: contract.EventStepAnswered, At: epoch, Participant: "p", Step: "one", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted, Payload: []byte(`{"r":1}`)}

// TestCostlyIsDecidedLater checks that a costly mapping is not evaluated and nothing is decided.
// With the output of Evaluate for the same data, the decision must be the same as with immediate
// evaluation.
func TestCostlyIsDecidedLater(t *testing.T) {
	def := two(t, dear)
	start := func(input string) (machine.Instance, machine.Event) {
		in, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(input)})
		if err != nil {
			t.Fatal(err)
		}
		return in, oneDone
	}
	in, ev := start(`{"n":1}`)
	want, effects, err := machine.Decide(def.Plan(), in, ev)
	if err != nil || len(effects.Commands) != 1 {
		t.Fatalf("%v, %v", effects, err)
	}
	got, eff, err := machine.DecideWithin(machine.NewCostBudget(machine.BatchCost), nil, def.Plan(), in, ev)
	if !errors.Is(err, machine.ErrCostly) || !cmp.Equal(got, in) || !cmp.Equal(eff, machine.Effects{}) {
		t.Fatalf("%v, %+v", err, eff)
	}
	made := machine.Evaluate(def.Plan(), in, ev)
	if got, eff, err = machine.DecideWithin(machine.NewCostBudget(0), made, def.Plan(), in, ev); err != nil || !cmp.Equal(got, want) || !cmp.Equal(eff, effects) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got)+cmp.Diff(effects, eff))
	}
	other, ev2 := start(`{"n":2}`)
	if _, _, err := machine.DecideWithin(machine.NewCostBudget(0), made, def.Plan(), other, ev2); !errors.Is(err, machine.ErrCostly) {
		t.Errorf("what was made of other data is taken: %v", err)
	}
	again := two(t, strings.Replace(dear, `"n": input.n`, `"n": 0`, 1))
	in.Fingerprint = again.Fingerprint()
	if _, _, err := machine.DecideWithin(machine.NewCostBudget(0), made, again.Plan(), in, ev); !errors.Is(err, machine.ErrCostly) {
		t.Errorf("what another definition made is taken: %v", err)
	}
}

// TestCheapIsDecidedAtOnce checks that cheap mappings are evaluated at once while the budget lasts.
func TestCheapIsDecidedAtOnce(t *testing.T) {
	def := two(t, `{"n": input.n + 1}`)
	in, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(`{"n":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	want, effects, err := machine.Decide(def.Plan(), in, oneDone)
	if err != nil {
		t.Fatal(err)
	}
	budget := machine.NewCostBudget(100)
	for n := 0; ; n++ {
		got, eff, err := machine.DecideWithin(budget, nil, def.Plan(), in, oneDone)
		if errors.Is(err, machine.ErrCostly) && n > 1 && n < 100 {
			return // the budget is used up
		}
		if err != nil || !cmp.Equal(got, want) || !cmp.Equal(eff, effects) || n == 100 {
			t.Fatalf("%d: %v\n%s", n, err, cmp.Diff(want, got)+cmp.Diff(effects, eff))
		}
	}
}

// TestLargeInputIsCheckedBeside checks that a large input is checked by Evaluate, because reading
// it costs as much as a mapping.
func TestLargeInputIsCheckedBeside(t *testing.T) {
	def := two(t, `{"n": input.n}`)
	for input, fits := range map[string]bool{
		`{"n":1,"s":"` + strings.Repeat("x", quickData) + `"}`:   true,
		`{"n":"1","s":"` + strings.Repeat("x", quickData) + `"}`: false,
	} {
		ev := machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(input)}
		if _, _, err := machine.DecideWithin(machine.NewCostBudget(machine.BatchCost), nil, def.Plan(), machine.Instance{}, ev); !errors.Is(err, machine.ErrCostly) {
			t.Fatalf("%v", err)
		}
		want, _, wantErr := machine.Decide(def.Plan(), machine.Instance{}, ev)
		got, _, err := machine.DecideWithin(machine.NewCostBudget(0), machine.Evaluate(def.Plan(), machine.Instance{}, ev), def.Plan(), machine.Instance{}, ev)
		if !cmp.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) || (err == nil) != fits {
			t.Errorf("%.20s…: %v, want %v", input, err, wantErr)
		}
	}
	plain := two(t, "")
	if _, _, err := machine.DecideWithin(machine.NewCostBudget(0), nil, plain.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(`{"n":1}`)}); err != nil {
		t.Errorf("without mappings nothing is read: %v", err)
	}
}

// TestFoldEvaluatesOnce checks that a costly mapping is evaluated once for a history with many
// attempts of its step.
func TestFoldEvaluatesOnce(t *testing.T) {
	const attempts = 20
	def, err := saga.New(saga.Spec{Name: "again", Version: 1, Steps: []saga.Node{{Step: &saga.Step{Name: "one", Kind: contract.KindRetriable, Do: saga.Action{
		Participant: "p", Action: "act", With: dear, Retry: saga.RetryPolicy{Attempts: attempts},
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	events := []machine.Event{{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(`{"n":1}`)}}
	in, err := machine.Fold(def.Plan(), events)
	if err != nil {
		t.Fatal(err)
	}
	for in.Steps[0].Do.Attempt() < attempts {
		ev, _ := machine.DueTimer(def.Plan(), &in, in.Wake())
		events = append(events, ev)
		if in, _, err = machine.Decide(def.Plan(), in, events[len(events)-1]); err != nil {
			t.Fatal(err)
		}
	}
	one := testing.AllocsPerRun(1, func() { _, _ = def.Plan().Steps[0].Mapping.Make([]byte(`{"n":1}`), nil) })
	all := testing.AllocsPerRun(1, func() {
		if folded, err := machine.Fold(def.Plan(), events); err != nil || !cmp.Equal(folded, in) {
			t.Errorf("%v\n%s", err, cmp.Diff(in, folded))
		}
	})
	if all > 4*one {
		t.Errorf("folding %d attempts asks for memory %.0f times, and one evaluation %.0f times", attempts, all, one)
	}
}
