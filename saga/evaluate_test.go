package saga

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// TestQuickIsWhole: a quick evaluation that is not refused gives what a whole one gives, and
// costs what it may at most.
func TestQuickIsWhole(t *testing.T) {
	quick, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			var c canaries
			def, err := secretive(contract.KindRetriable, nil, expression(t, 3, nil))
			if err != nil {
				continue
			}
			input, result := c.document(t), c.document(t)
			if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
				if def, err = secretive(contract.KindRetriable, nil, "[input, input, input, dyn("+expression(t, 2, nil)+")]"); err != nil {
					continue
				}
				input = fmt.Sprintf(`{"a":%q,"b":1,"c":%s}`, strings.Repeat("x", rapid.IntRange(0, quickData).Draw(t, "bytes")), c.data(t, 1))
			}
			if rapid.IntRange(0, 4).Draw(t, "much") == 0 {
				input = fmt.Sprintf(`{"a":%q,"b":[%s1],"c":%s}`, strings.Repeat("x", rapid.IntRange(0, 2*quickData).Draw(t, "size")),
					strings.Repeat("7,", rapid.IntRange(0, 400).Draw(t, "items")), c.data(t, 1))
			}
			results := func(int) []byte { return []byte(result) }
			want, wantErr := def.steps[1].request.Make([]byte(input), results)
			got, cost, err := def.steps[1].request.MakeWithin([]byte(input), results)
			if errors.Is(err, machine.ErrCostly) {
				refused++
				continue
			}
			quick++
			if string(got) != string(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("%s of %s and %s:\nquick %s, %v\nwhole %s, %v", def.steps[1].Do.With, input, result, got, err, want, wantErr)
			}
			if most := quickCost + 2*quickData/readPerUnit + quickData/writtenPerUnit; cost > most || cost < 0 || len(got) > quickData {
				t.Fatalf("%s costs %d and makes %d bytes, at most %d and %d", def.steps[1].Do.With, cost, len(got), most, quickData)
			}
		}
	})
	if quick < 100 || refused == 0 {
		t.Errorf("%d were quick and %d refused: this tries too little", quick, refused)
	}
}

// two is a saga whose second step has a mapping, and whose input has a schema.
func two(t testing.TB, with string) *Definition {
	t.Helper()
	def, err := New(Spec{
		Name: "two", Version: 1, Input: &Schema{Kind: SchemaObject, Fields: map[string]*Schema{"n": {Kind: SchemaInt}, "s": {Kind: SchemaString, Optional: true}}},
		Steps: []Node{
			{Step: &Step{Name: "one", Kind: contract.KindCompensable, Do: Action{Participant: "p", Action: "act"}, Undo: &Action{Participant: "p", Action: "undo"}}},
			{Step: &Step{Name: "two", Kind: contract.KindCompensable, Do: Action{Participant: "p", Action: "act", With: with}, Undo: &Action{Participant: "p", Action: "undo"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// dear is an expression that costs more than a quick evaluation may, and ends.
const dear = `{"n": input.n, "k": [1,2,3,4,5,6,7,8,9,10].map(x, [1,2,3,4,5,6,7,8,9,10].map(y, [1,2,3].map(z, x * y * z)))}`

var oneDone = machine.Event{Type: contract.EventStepAnswered, At: epoch, Participant: "p", Step: "one", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted, Payload: []byte(`{"r":1}`)}

// TestCostlyIsDecidedLater: what costs much is not evaluated, and nothing is decided; with
// what Evaluate made of just these data it is, as if it had been evaluated at once.
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
	got, eff, err := machine.DecideWithin(machine.NewBudget(machine.WithinBatch), nil, def.Plan(), in, ev)
	if !errors.Is(err, machine.ErrCostly) || !cmp.Equal(got, in) || !cmp.Equal(eff, machine.Effects{}) {
		t.Fatalf("%v, %+v", err, eff)
	}
	made := machine.Evaluate(def.Plan(), in, ev)
	if got, eff, err = machine.DecideWithin(machine.NewBudget(0), made, def.Plan(), in, ev); err != nil || !cmp.Equal(got, want) || !cmp.Equal(eff, effects) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got)+cmp.Diff(effects, eff))
	}
	other, ev2 := start(`{"n":2}`)
	if _, _, err := machine.DecideWithin(machine.NewBudget(0), made, def.Plan(), other, ev2); !errors.Is(err, machine.ErrCostly) {
		t.Errorf("what was made of other data is taken: %v", err)
	}
	again := two(t, strings.Replace(dear, `"n": input.n`, `"n": 0`, 1))
	in.Fingerprint = again.Fingerprint()
	if _, _, err := machine.DecideWithin(machine.NewBudget(0), made, again.Plan(), in, ev); !errors.Is(err, machine.ErrCostly) {
		t.Errorf("what another definition made is taken: %v", err)
	}
}

// TestCheapIsDecidedAtOnce, as far as the budget goes.
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
	budget := machine.NewBudget(100)
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

// TestLargeInputIsCheckedBeside: to read it costs as much as a mapping.
func TestLargeInputIsCheckedBeside(t *testing.T) {
	def := two(t, `{"n": input.n}`)
	for input, fits := range map[string]bool{
		`{"n":1,"s":"` + strings.Repeat("x", 2*quickData) + `"}`:   true,
		`{"n":"1","s":"` + strings.Repeat("x", 2*quickData) + `"}`: false,
	} {
		ev := machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(input)}
		if _, _, err := machine.DecideWithin(machine.NewBudget(machine.WithinBatch), nil, def.Plan(), machine.Instance{}, ev); !errors.Is(err, machine.ErrCostly) {
			t.Fatalf("%v", err)
		}
		want, _, wantErr := machine.Decide(def.Plan(), machine.Instance{}, ev)
		got, _, err := machine.DecideWithin(machine.NewBudget(0), machine.Evaluate(def.Plan(), machine.Instance{}, ev), def.Plan(), machine.Instance{}, ev)
		if !cmp.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) || (err == nil) != fits {
			t.Errorf("%.20s…: %v, want %v", input, err, wantErr)
		}
	}
	plain := two(t, "")
	if _, _, err := machine.DecideWithin(machine.NewBudget(0), nil, plain.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(`{"n":1}`)}); err != nil {
		t.Errorf("without mappings nothing is read: %v", err)
	}
}

// TestFoldEvaluatesOnce: a history with many attempts of a step whose mapping costs much is
// read as if it had one.
func TestFoldEvaluatesOnce(t *testing.T) {
	const attempts = 20
	def, err := New(Spec{Name: "again", Version: 1, Steps: []Node{{Step: &Step{Name: "one", Kind: contract.KindRetriable, Do: Action{
		Participant: "p", Action: "act", With: dear, Retry: RetryPolicy{Attempts: attempts},
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
	one := testing.AllocsPerRun(1, func() { _, _ = def.request(0, []byte(`{"n":1}`), nil) })
	all := testing.AllocsPerRun(1, func() {
		if folded, err := machine.Fold(def.Plan(), events); err != nil || !cmp.Equal(folded, in) {
			t.Errorf("%v\n%s", err, cmp.Diff(in, folded))
		}
	})
	if all > 4*one {
		t.Errorf("folding %d attempts asks for memory %.0f times, and one evaluation %.0f times", attempts, all, one)
	}
}
