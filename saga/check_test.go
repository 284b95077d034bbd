package saga

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
)

// good returns a valid definition as data. The table makes it invalid.
func good() Spec {
	return Spec{Name: "checkout", Version: 1, Steps: []Node{
		{Step: &Step{Name: "reserve-stock", Kind: contract.KindCompensable,
			Do:   Action{Participant: "inventory", Action: "reserve-stock"},
			Undo: &Action{Participant: "inventory", Action: "release-stock"}}},
		{Parallel: []Node{
			{Step: &Step{Name: "charge-card", Kind: contract.KindCompensable,
				Do:   Action{Participant: "payment", Action: "charge"},
				Undo: &Action{Participant: "payment", Action: "refund"}}},
			{Sequence: []Node{
				{Step: &Step{Name: "check-fraud", Kind: contract.KindCompensable, NothingToUndo: true,
					Do: Action{Participant: "fraud", Action: "check"}}},
			}},
		}},
		{Step: &Step{Name: "book-shipment", Kind: contract.KindPivot, Do: Action{Participant: "shipping", Action: "book"}}},
		{Step: &Step{Name: "confirm-order", Kind: contract.KindRetriable, Do: Action{Participant: "order", Action: "confirm"}}},
	}}
}

const rightName = "use 1 to 64 lower-case letters, digits and hyphens, starting with a letter, for example reserve-stock"

func TestNewReportsEachProblem(t *testing.T) {
	reserve := func(s *Spec) *Step { return s.Steps[0].Step }
	charge := func(s *Spec) *Step { return s.Steps[1].Parallel[0].Step }
	for _, test := range []struct {
		name  string
		spoil func(*Spec)
		want  []string
	}{
		{"no name", func(s *Spec) { s.Name = "" },
			[]string{`name: definition name "" cannot be used; is empty; ` + rightName}},
		{"a name with a dot", func(s *Spec) { s.Name = "a.b" },
			[]string{`name: definition name "a.b" cannot be used; has '.' at position 1; ` + rightName}},
		{"version zero", func(s *Spec) { s.Version = 0 },
			[]string{"version: is 0; versions go from 1 to 1000000000"}},
		{"version too high", func(s *Spec) { s.Version = 1_000_000_001 },
			[]string{"version: is 1000000001; versions go from 1 to 1000000000"}},
		{"negative deadline", func(s *Spec) { s.Deadline = Duration(-time.Minute) },
			[]string{"deadline: is negative (-1m); give a duration such as 30s, or none for the default"}},
		{"long deadline", func(s *Spec) { s.Deadline = Duration(MaxTimeout + 1) },
			[]string{"deadline: is 8784h0m0.000000001s; at most 8784h is allowed"}},
		{"default timeout", func(s *Spec) { s.Timeout = -1 },
			[]string{"timeout: is negative (-1ns); give a duration such as 30s, or none for the default"}},
		{"default retry", func(s *Spec) { s.Retry = RetryPolicy{Attempts: -1} },
			[]string{"retry.attempts: is -1; give 1 (never again) to 10000, or none for the default"}},
		{"no steps", func(s *Spec) { s.Steps = nil },
			[]string{"steps: there is no step; add at least one"}},
		{"step name", func(s *Spec) { reserve(s).Name = "Reserve" },
			[]string{`steps[0] (Reserve).name: step name "Reserve" cannot be used; starts with 'R'; ` + rightName}},
		{"step name twice", func(s *Spec) { charge(s).Name = "reserve-stock" },
			[]string{"steps[1].parallel[0] (reserve-stock).name: the name is taken by steps[0] (reserve-stock); give every step of the definition its own name"}},
		{"no do", func(s *Spec) { reserve(s).Do = Action{} }, []string{
			"steps[0] (reserve-stock).do: names no action; name the participant and its action",
			`steps[0] (reserve-stock).undo.participant: the undo is at "inventory", the do at ""; use the participant of the do: only its inbox knows whether the do was executed`}},
		{"participant", func(s *Spec) { s.Steps[2].Step.Do.Participant = "Shipping" },
			[]string{`steps[2] (book-shipment).do.participant: participant name "Shipping" cannot be used; starts with 'S'; ` + rightName}},
		{"action", func(s *Spec) { s.Steps[2].Step.Do.Action = "" },
			[]string{`steps[2] (book-shipment).do.action: action name "" cannot be used; is empty; ` + rightName}},
		{"no undo", func(s *Spec) { reserve(s).Undo = nil },
			[]string{"steps[0] (reserve-stock): a compensable step has no undo; name the action that reverts the do, or declare that there is nothing to undo"}},
		{"undo on a pivot", func(s *Spec) { s.Steps[2].Step.Undo = &Action{Participant: "shipping", Action: "cancel"} },
			[]string{"steps[2] (book-shipment): a pivot step has an undo; remove the undo, or make the step compensable and put it before the pivot"}},
		{"undo on a retriable", func(s *Spec) { s.Steps[3].Step.Undo = &Action{Participant: "order", Action: "cancel"} },
			[]string{"steps[3] (confirm-order): a retriable step has an undo; remove the undo, or make the step compensable and put it before the pivot"}},
		{"compensable after the pivot", func(s *Spec) { s.Steps[1], s.Steps[2] = s.Steps[2], s.Steps[1] }, []string{
			"steps[2].parallel[0] (charge-card): a compensable step comes after the pivot; move it before the pivot, or make it retriable: after the pivot nothing is taken back",
			"steps[2].parallel[1].sequence[0] (check-fraud): a compensable step comes after the pivot; move it before the pivot, or make it retriable: after the pivot nothing is taken back"}},
		{"two pivots", func(s *Spec) { s.Steps[3].Step.Kind = contract.KindPivot },
			[]string{"steps[3] (confirm-order): there is a second pivot; keep one pivot; make this step retriable, or compensable and before the pivot"}},
		{"pivot in a parallel", func(s *Spec) { *charge(s) = *s.Steps[2].Step; s.Steps = s.Steps[:2] },
			[]string{"steps[1].parallel[0] (book-shipment): the pivot stands inside a parallel; put it in the outermost sequence, so that everything else is clearly before or after it"}},
		{"no kind", func(s *Spec) { s.Steps[2].Step.Kind = "" },
			[]string{"steps[2] (book-shipment): the step has no kind; make it compensable, pivot or retriable"}},
		{"unknown kind", func(s *Spec) { s.Steps[2].Step.Kind = "compensible" },
			[]string{`steps[2] (book-shipment).kind: "compensible" is not a kind; write compensable, pivot or retriable`}},
		{"undo and nothing to undo", func(s *Spec) { reserve(s).NothingToUndo = true },
			[]string{"steps[0] (reserve-stock).nothingToUndo: the step has an undo, but also nothingToUndo; keep one of the two"}},
		{"mapping on an undo", func(s *Spec) { reserve(s).Undo.With = "input" },
			[]string{"steps[0] (reserve-stock).undo.with: an undo takes no mapping; remove it: an undo receives the request and the result of its do"}},
		{"undo elsewhere", func(s *Spec) { reserve(s).Undo.Participant = "warehouse" },
			[]string{`steps[0] (reserve-stock).undo.participant: the undo is at "warehouse", the do at "inventory"; use the participant of the do: only its inbox knows whether the do was executed`}},
		{"undo is the do", func(s *Spec) { reserve(s).Undo.Action = "reserve-stock" },
			[]string{"steps[0] (reserve-stock).undo.action: the undo is the same action as the do; name the action that reverts the do"}},
		{"undo of other data", func(s *Spec) { reserve(s).Undo.Request = &Schema{Kind: SchemaInt} },
			[]string{"steps[0] (reserve-stock).undo.request: differs from the request of the do; remove it: an undo receives the request and the result of its do"}},
		{"attempts", func(s *Spec) { reserve(s).Do.Retry.Attempts = MaxAttempts + 1 },
			[]string{"steps[0] (reserve-stock).do.retry.attempts: is 10001; give 1 (never again) to 10000, or none for the default"}},
		{"negative wait", func(s *Spec) { reserve(s).Undo.Retry.InitialInterval = -1 },
			[]string{"steps[0] (reserve-stock).undo.retry.initialInterval: is negative (-1ns); give a duration such as 30s, or none for the default"}},
		{"cap under first", func(s *Spec) {
			reserve(s).Do.Retry = RetryPolicy{InitialInterval: Duration(time.Minute), MaxInterval: Duration(time.Second)}
		}, []string{"steps[0] (reserve-stock).do.retry.maxInterval: the longest wait (1s) is shorter than the first (1m); make maxInterval at least as long as the first wait"}},
		{"cap of the definition under first", func(s *Spec) {
			s.Retry.MaxInterval = Duration(time.Second)
			reserve(s).Do.Retry.InitialInterval = Duration(time.Minute)
		}, []string{"steps[0] (reserve-stock).do.retry.maxInterval: the longest wait (1s) is shorter than the first (1m); make maxInterval at least as long as the first wait"}},
		{"timeout", func(s *Spec) { reserve(s).Do.Timeout = Duration(MaxTimeout) + 1 },
			[]string{"steps[0] (reserve-stock).do.timeout: is 8784h0m0.000000001s; at most 8784h is allowed"}},
		{"long expression", func(s *Spec) { reserve(s).Do.With = strings.Repeat(" ", MaxExpression) + "1" },
			[]string{"steps[0] (reserve-stock).do.with: the expression is 16385 bytes long; at most 16384 are allowed; move the work into the participant"}},
		{"expression not UTF-8", func(s *Spec) { reserve(s).Do.With = "\"\xff\"" },
			[]string{"steps[0] (reserve-stock).do.with: the expression is not valid UTF-8; write it in UTF-8"}},
		{"empty node", func(s *Spec) { s.Steps[3] = Node{} },
			[]string{"steps[3]: is empty; give it a step, a parallel or a sequence"}},
		{"two fields of a node", func(s *Spec) { s.Steps[3].Sequence = []Node{s.Steps[2]} },
			[]string{"steps[3]: is more than one of step, parallel and sequence; keep one, and put the others into nodes of their own"}},
		{"empty parallel", func(s *Spec) { s.Steps[1].Parallel = []Node{} },
			[]string{"steps[1].parallel: has no steps; add some or remove it"}},
		{"empty sequence", func(s *Spec) { s.Steps[1].Parallel[1].Sequence = []Node{} },
			[]string{"steps[1].parallel[1].sequence: has no steps; add some or remove it"}},
		{"schema", func(s *Spec) { s.Input = &Schema{Kind: "chan int"} },
			[]string{`input: schema: "chan int" cannot be described as JSON; describe data that JSON can hold, within the limits, or leave the schema out`}},
		{"schema of a list of nothing", func(s *Spec) { reserve(s).Do.Result = &Schema{Kind: SchemaList} },
			[]string{`steps[0] (reserve-stock).do.result: schema at [] is missing; describe data that JSON can hold, within the limits, or leave the schema out`}},
		{"input does not fit", func(s *Spec) {
			s.Input = &Schema{Kind: SchemaObject, Fields: map[string]*Schema{"n": {Kind: SchemaString}, "o": {Kind: SchemaInt, Optional: true}}}
			reserve(s).Do.Request = &Schema{Kind: SchemaObject, Fields: map[string]*Schema{"n": {Kind: SchemaInt}, "m": {Kind: SchemaBool}, "o": {Kind: SchemaInt}}}
		}, []string{
			"steps[0] (reserve-stock).do: receives the saga's input as it is, but the field m (bool) is missing; map it with a CEL expression (with)",
			"steps[0] (reserve-stock).do: receives the saga's input as it is, but the field n is string, but the command takes int; map it with a CEL expression (with)",
			"steps[0] (reserve-stock).do: receives the saga's input as it is, but the field o may be missing, but the command needs it; map it with a CEL expression (with)"}},
		{"everything at once", func(s *Spec) { s.Name, s.Version, reserve(s).Undo, charge(s).Do.With = "X", -1, nil, "inptu" }, []string{
			`name: definition name "X" cannot be used; starts with 'X'; ` + rightName,
			"version: is -1; versions go from 1 to 1000000000",
			"steps[0] (reserve-stock): a compensable step has no undo; name the action that reverts the do, or declare that there is nothing to undo",
			"steps[1].parallel[0] (charge-card).do.with: line 1, column 1: undeclared reference to 'inptu' (did you mean 'input'?); there is input, and result with one field for each step (hyphens as underscores)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := good()
			test.spoil(&spec)
			_, err := New(spec)
			wantProblems(t, err, test.want)
		})
	}
	if _, err := New(good()); err != nil {
		t.Fatalf("the good one: %v", err)
	}
}

// wantProblems fails unless err lists exactly these problems, in this order.
func wantProblems(t *testing.T, err error, want []string) {
	t.Helper()
	var bad *DefinitionError
	if !errors.As(err, &bad) {
		t.Fatalf("error is %v, want a *DefinitionError", err)
	}
	if !errors.Is(err, ErrDefinition) {
		t.Error("it is not ErrDefinition")
	}
	var got []string
	for _, p := range bad.Problems {
		got = append(got, p.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestDefineReportsMixedCommands(t *testing.T) {
	type A struct{ N int }
	type B struct{ N int }
	a := contract.NewCommand[A, A]("inventory", "reserve")
	b := contract.NewCommand[B, A]("inventory", "charge")
	_, err := Define[A]("x", Compensable("reserve", Do(a), Undo(contract.UndoOf(b, "refund"))), nil)
	wantProblems(t, err, []string{
		"parts[1]: is nil; remove it",
		"steps[0] (reserve).undo: takes back a command from saga.B to saga.A, but the do goes from saga.A to saga.A; make it with contract.UndoOf from the command of the do"})
}

func TestDefinitionErrorReadsAsAList(t *testing.T) {
	_, err := Define[any]("x", Version(0), Retriable("A", Do(testConfirmOrder)))
	want := `definition "x" has 2 problems:
  version: is 0; versions go from 1 to 1000000000
  steps[0] (A).name: step name "A" cannot be used; starts with 'A'; ` + rightName
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestMustDefinePanicsWithTheList(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, ErrDefinition) {
			t.Errorf("panicked with %v, want a *DefinitionError", err)
		}
	}()
	MustDefine[any]("x")
	t.Error("it did not panic")
}

// TestNewSurvivesHostileSpecs checks that limits are enforced before the spec is walked (I10).
func TestNewSurvivesHostileSpecs(t *testing.T) {
	step := func(i int) Node {
		return Node{Step: &Step{Name: contract.StepName(fmt.Sprintf("s-%d", i)), Kind: contract.KindRetriable,
			Do: Action{Participant: "p", Action: "a"}}}
	}
	deep := step(0)
	for range 10_000 {
		deep = Node{Sequence: []Node{deep}}
	}
	many := make([]Node, 100_000)
	for i := range many {
		many[i] = step(i)
	}
	cycle := []Node{{}}
	cycle[0].Parallel = cycle
	ring := &Schema{Kind: SchemaList}
	ring.Items = ring
	wide := &Schema{Kind: SchemaObject, Fields: map[string]*Schema{}}
	for i := range MaxSchemaNodes {
		wide.Fields[fmt.Sprint(i)] = &Schema{Kind: SchemaInt}
	}
	long := step(0)
	long.Step.Name = contract.StepName(strings.Repeat("x", 10_000_000))
	for _, test := range []struct {
		name string
		spec Spec
		want string // the end of the first problem's path, and its text
	}{
		{"deep", Spec{Steps: []Node{deep}}, "is nested deeper than 16"},
		{"many steps", Spec{Steps: many}, "there are more than 256 steps"},
		{"many branches", Spec{Steps: []Node{{Parallel: many}}}, "has 100000 branches"},
		{"many empty nodes", Spec{Steps: make([]Node, 1_000_000)}, "there are more problems"},
		{"cycle", Spec{Steps: cycle}, "is nested deeper than 16"},
		{"endless schema", Spec{Input: ring, Steps: many[:1]}, "schema is nested deeper than 32"},
		{"wide schema", Spec{Input: wide, Steps: many[:1]}, "schema has more than 1024 nodes"},
		{"long name", Spec{Steps: []Node{long}}, "is 10000000 characters long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.spec.Name, test.spec.Version = "x", 1
			_, err := New(test.spec)
			if !errors.Is(err, ErrDefinition) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %.1000v, want one with %q", err, test.want)
			}
			if err != nil && len(err.Error()) > 100_000 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
		})
	}
}

func TestNewBoundsTheDefinition(t *testing.T) {
	wide := &Schema{Kind: SchemaObject, Fields: map[string]*Schema{}}
	for i := range 1000 {
		wide.Fields[fmt.Sprintf("field-%04d", i)] = &Schema{Kind: SchemaInt}
	}
	steps := func(do Action) (nodes []Node) {
		do.Participant, do.Action = "p", "a"
		for i := range 100 {
			nodes = append(nodes, Node{Step: &Step{Name: contract.StepName(fmt.Sprintf("s-%d", i)), Kind: contract.KindRetriable, Do: do}})
		}
		return nodes
	}
	_, err := New(Spec{Name: "x", Version: 1, Steps: steps(Action{Result: wide})})
	wantProblems(t, err, []string{
		"definition: is 1909324 bytes long as JSON; at most 1048576 are allowed; split it, or move work into the participants"})
	_, err = New(Spec{Name: "x", Version: 1, Steps: steps(Action{With: `"` + strings.Repeat("x", 1000) + `"`})})
	wantProblems(t, err, []string{
		"steps: the mappings are 100200 bytes long together; at most 65536 are allowed; move work into the participants"})
}

func TestDefaultsAreFilledInWhenRead(t *testing.T) {
	d, err := testCheckout()
	if err != nil {
		t.Fatal(err)
	}
	second, minute := Duration(time.Second), Duration(time.Minute)
	for _, test := range []struct {
		step    contract.StepName
		dir     contract.Direction
		timeout Duration
		retry   RetryPolicy
	}{
		{"reserve-stock", contract.DirectionDo, 20 * second, RetryPolicy{3, second, 30 * second}},
		{"reserve-stock", contract.DirectionUndo, 20 * second, RetryPolicy{20, second, minute}},
		{"charge-card", contract.DirectionDo, 5 * second, RetryPolicy{3, second / 5, 5 * second}},
		{"charge-card", contract.DirectionUndo, 20 * second, RetryPolicy{50, second, minute}},
		{"book-shipment", contract.DirectionDo, 20 * second, RetryPolicy{5, second, 30 * second}},
		{"confirm-order", contract.DirectionDo, 20 * second, RetryPolicy{20, second, minute}},
	} {
		i, ok := d.find(test.step)
		if !ok {
			t.Fatalf("no step %s", test.step)
		}
		got := d.action(i, test.dir)
		if got.Timeout != test.timeout || got.Retry != test.retry {
			t.Errorf("%s %s: %v %v, want %v %v", test.step, test.dir, got.Timeout, got.Retry, test.timeout, test.retry)
		}
	}
	i, _ := d.find("book-shipment")
	if d.action(i, contract.DirectionUndo) != nil {
		t.Error("the pivot has an undo")
	}
	if _, ok := d.find("nobody"); ok {
		t.Error("found a step that is not there")
	}
	if got := d.Step(i).Do.Timeout; got != 0 {
		t.Errorf("the spec was changed: timeout %v", got)
	}
}

func TestDefaultsNeverCross(t *testing.T) {
	spec := Spec{}
	second := Duration(time.Second)
	for _, test := range []struct{ own, want RetryPolicy }{
		{RetryPolicy{InitialInterval: 60 * second}, RetryPolicy{3, 60 * second, 60 * second}},
		{RetryPolicy{MaxInterval: second / 2}, RetryPolicy{3, second / 2, second / 2}},
		{RetryPolicy{Attempts: 1}, RetryPolicy{1, second, 30 * second}},
	} {
		a := Action{Retry: test.own}
		if got := a.withDefaults(&spec, contract.KindCompensable, contract.DirectionDo).Retry; got != test.want {
			t.Errorf("%v becomes %v, want %v", test.own, got, test.want)
		}
	}
}

func TestNewKeepsACopy(t *testing.T) {
	spec := good()
	d, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	spec.Steps[0].Step.Do.Participant = "other"
	if got := d.Step(0).Do.Participant; got != "inventory" {
		t.Errorf("the definition changed with the spec: %s", got)
	}
	var names []contract.StepName
	for i := range d.Len() {
		names = append(names, d.Step(i).Name)
	}
	if !slices.Equal(names, []contract.StepName{"reserve-stock", "charge-card", "check-fraud", "book-shipment", "confirm-order"}) {
		t.Errorf("steps are %v", names)
	}
}
