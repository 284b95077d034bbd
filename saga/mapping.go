package saga

import (
	"fmt"
	"slices"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/saga/internal/mapping"
)

// mappings compiles every mapping. It also checks that the data that each do sends matches the
// request schema of its command.
func (c *checker) mappings() {
	c.compiled = make([]*mapping.Mapping, len(c.steps))
	steps := make([]mapping.Step, len(c.steps))
	total := 0
	for i, s := range c.steps {
		steps[i] = mapping.Step{Name: s.Name, With: s.Do.With, Request: c.sound(s.Do.Request), Result: c.sound(s.Do.Result)}
		total += len(s.Do.With)
	}
	if total > MaxExpressions {
		c.add("steps", fmt.Sprintf("the mappings are %d bytes long together", total),
			fmt.Sprintf("at most %d are allowed; move work into the participants", MaxExpressions))
		return
	}
	input, before := c.sound(c.spec.Input), before(&c.tree, len(c.steps))
	compiler := mapping.NewCompiler(input, steps, before)
	for i, s := range c.steps {
		switch {
		case before[i] == nil: // not in the tree, which was already reported
		case s.Do.With == "":
			for _, p := range mapping.Fit(steps[i].Request, input) {
				c.add(s.path+".do", "receives the saga's input as it is, but "+p.What, "map it with a CEL expression (with)")
			}
		case len(s.Do.With) <= MaxExpression:
			compiled, problems, notes := compiler.Compile(i)
			c.compiled[i] = compiled
			for _, p := range problems {
				c.add(s.path+".do.with", p.What, p.Fix)
			}
			for _, n := range notes {
				c.notes = append(c.notes, Problem{s.path + ".do.with", n.What, n.Fix})
			}
		}
	}
}

// before returns, for each leaf, which leaves are certainly done when that leaf begins. The entry
// is nil for a leaf that is not in the tree.
func before(root *compensation.Node, leaves int) [][]bool {
	all := make([][]bool, leaves)
	var walk func(n *compensation.Node, done []bool)
	walk = func(n *compensation.Node, done []bool) {
		if n.Shape == compensation.Leaf {
			all[n.Step] = done
			return
		}
		for i := range n.Children {
			child := &n.Children[i]
			walk(child, done)
			if n.Shape == compensation.Sequence {
				done = slices.Clone(done)
				child.Leaves(func(leaf *compensation.Node) bool { done[leaf.Step] = true; return true })
			}
		}
	}
	walk(root, make([]bool, leaves))
	return all
}
