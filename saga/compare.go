package saga

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// Difference describes one difference between two definitions.
type Difference struct {
	Path   string // such as deadline or steps/charge-card/do/timeout
	Change Change
	From   string // old value, or old position of a step that moved
	To     string // new value or position
}

// Change is the kind of a difference.
type Change string

// The changes.
const (
	ChangeAdded   Change = "added"
	ChangeRemoved Change = "removed"
	ChangeChanged Change = "changed"
	ChangeMoved   Change = "moved" // the position of the step among the others differs
)

// Compare returns the differences in how sagas of the definitions from and to behave, step by step,
// in the order of the steps of to. Steps are matched by name. Timeouts and retries are compared
// with the defaults filled in, so that writing down a default is no difference. Versions are not
// compared.
func Compare(from, to *Definition) []Difference {
	c := &comparison{from: from, to: to}
	c.differ("name", from.spec.Name, to.spec.Name)
	c.differ("deadline", optional(from.spec.Deadline), optional(to.spec.Deadline))
	c.schema("input", from.spec.Input, to.spec.Input)
	moved := c.moved()
	next := 0 // all steps of from before this index have been compared
	for i := range to.steps {
		name := to.steps[i].Name
		k, common := from.find(name)
		if !common {
			c.add(stepPath(name), ChangeAdded, "", whereabouts(to, i))
			continue
		}
		if k >= next {
			c.removed(next, k)
			next = k + 1
		}
		if moved[name] {
			c.add(stepPath(name), ChangeMoved, whereabouts(from, k), whereabouts(to, i))
		}
		c.step(stepPath(name), k, i)
	}
	c.removed(next, from.Len())
	return c.found
}

type comparison struct {
	from, to *Definition
	found    []Difference
}

func (c *comparison) add(path string, change Change, from, to string) {
	c.found = append(c.found, Difference{Path: path, Change: change, From: from, To: to})
}

// differ adds a difference unless the values are equal. An empty value counts as missing.
func (c *comparison) differ(path, from, to string) {
	switch {
	case from == to:
	case from == "":
		c.add(path, ChangeAdded, "", to)
	case to == "":
		c.add(path, ChangeRemoved, from, "")
	default:
		c.add(path, ChangeChanged, from, to)
	}
}

func (c *comparison) schema(path string, from, to *Schema) {
	if !from.Equal(to) {
		c.differ(path, schemaText(from), schemaText(to))
	}
}

// removed reports the steps of from in the range first … last-1 that to does not have.
func (c *comparison) removed(first, last int) {
	for k := first; k < last; k++ {
		if _, common := c.to.find(c.from.steps[k].Name); !common {
			c.add(stepPath(c.from.steps[k].Name), ChangeRemoved, whereabouts(c.from, k), "")
		}
	}
}

func (c *comparison) step(path string, k, i int) {
	from, to := &c.from.steps[k], &c.to.steps[i]
	c.differ(path+"/kind", string(from.Kind), string(to.Kind))
	c.action(path+"/do", &from.do, &to.do)
	switch {
	case from.undo == nil && to.undo != nil:
		c.add(path+"/undo", ChangeAdded, "", to.undo.Participant+" "+to.undo.Action)
	case from.undo != nil && to.undo == nil:
		c.add(path+"/undo", ChangeRemoved, from.undo.Participant+" "+from.undo.Action, "")
	case from.undo != nil:
		c.action(path+"/undo", from.undo, to.undo)
	}
	c.differ(path+"/nothingToUndo", yes(from.NothingToUndo), yes(to.NothingToUndo))
}

func (c *comparison) action(path string, from, to *Action) {
	c.differ(path+"/participant", from.Participant, to.Participant)
	c.differ(path+"/action", from.Action, to.Action)
	c.differ(path+"/with", from.With, to.With)
	c.differ(path+"/timeout", from.Timeout.String(), to.Timeout.String())
	c.differ(path+"/retry/attempts", fmt.Sprint(from.Retry.Attempts), fmt.Sprint(to.Retry.Attempts))
	c.differ(path+"/retry/initialInterval", from.Retry.InitialInterval.String(), to.Retry.InitialInterval.String())
	c.differ(path+"/retry/maxInterval", from.Retry.MaxInterval.String(), to.Retry.MaxInterval.String())
	c.schema(path+"/request", from.Request, to.Request)
	c.schema(path+"/result", from.Result, to.Result)
}

// moved returns the smallest set of steps, approximately, whose moves explain all pairs of common
// steps with different relative positions. It repeatedly picks the step whose position differs
// relative to the most other steps.
func (c *comparison) moved() map[contract.StepName]bool {
	var common []contract.StepName
	for i := range c.from.steps {
		if _, ok := c.to.find(c.from.steps[i].Name); ok {
			common = append(common, c.from.steps[i].Name)
		}
	}
	differs := make([][]bool, len(common))
	before, after := paths(c.from), paths(c.to)
	for a := range common {
		differs[a] = make([]bool, len(common))
		for b := range common {
			x1, y1 := c.from.index[common[a]], c.from.index[common[b]]
			x2, y2 := c.to.index[common[a]], c.to.index[common[b]]
			differs[a][b] = a != b && relation(before, x1, y1) != relation(after, x2, y2)
		}
	}
	moved := map[contract.StepName]bool{}
	for {
		most, worst := 0, -1
		for a := range common {
			if n := count(differs[a]); n > most {
				most, worst = n, a
			}
		}
		if worst < 0 {
			return moved
		}
		moved[common[worst]] = true
		for b := range common {
			differs[worst][b], differs[b][worst] = false, false
		}
	}
}

func count(flags []bool) (n int) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// turn is one branching on the path from the root to a step.
type turn struct {
	shape compensation.Shape
	child int
}

// paths returns the path from the root to each step.
func paths(d *Definition) [][]turn {
	ways := make([][]turn, d.Len())
	var walk func(n *compensation.Node, way []turn)
	walk = func(n *compensation.Node, way []turn) {
		if len(n.Children) == 0 {
			ways[n.Step] = slices.Clone(way)
			return
		}
		for i := range n.Children {
			walk(&n.Children[i], append(way, turn{n.Shape, i}))
		}
	}
	walk(d.Tree(), nil)
	return ways
}

// The position of a step x relative to a step y.
const (
	ahead  = -1 // x is done before y
	beside = 0  // x and y are done in parallel
	behind = 1
)

// relation returns the position of step x relative to step y. It depends on where their paths
// separate.
func relation(ways [][]turn, x, y int) int {
	for k := range min(len(ways[x]), len(ways[y])) {
		a, b := ways[x][k], ways[y][k]
		switch {
		case a.child == b.child:
		case a.shape == compensation.Parallel:
			return beside
		case a.child < b.child:
			return ahead
		default:
			return behind
		}
	}
	return beside
}

// whereabouts describes the position of a step: "first", "behind reserve", "behind reserve, beside
// charge".
func whereabouts(d *Definition, i int) string {
	ways, where := paths(d), "first"
	var besides []string
	for k := range d.steps {
		switch {
		case k == i:
		case relation(ways, k, i) == ahead:
			where = "behind " + string(d.steps[k].Name)
		case relation(ways, k, i) == beside:
			besides = append(besides, string(d.steps[k].Name))
		}
	}
	if len(besides) > 0 {
		where += ", beside " + strings.Join(besides, ", ")
	}
	return where
}

func stepPath(name contract.StepName) string { return "steps/" + string(name) }

func optional(d Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func yes(set bool) string {
	if set {
		return "true"
	}
	return ""
}

func schemaText(s *Schema) string {
	if s == nil {
		return ""
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error() // a checked schema can be encoded
	}
	return string(text)
}
