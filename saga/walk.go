package saga

import (
	"fmt"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/quote"
	"github.com/amends-dev/amends/saga/machine"
)

// maxNodes bounds the nodes that walk checks. No definition within the other limits has more nodes.
const maxNodes = machine.MaxSteps * MaxDepth

// walk checks the structure of the definition and every step in it, and builds the tree of the
// valid parts. It checks limits before it continues, so that the cost of any spec, however deep or
// wide, is bounded.
func (c *checker) walk() {
	w := walker{checker: c}
	c.tree = compensation.Node{Shape: compensation.Sequence, Children: w.nodes(c.spec.Steps, "steps", 1)}
	switch {
	case w.leaves > machine.MaxSteps:
		c.add("steps", fmt.Sprintf("there are more than %d steps", machine.MaxSteps), "split the definition in two")
	case w.visited > maxNodes:
		c.add("steps", fmt.Sprintf("there are more than %d nodes", maxNodes), "remove sequences and parallels that group nothing")
	}
}

type walker struct {
	*checker
	visited, leaves int
	deep            bool // whether the depth was reported
}

// full reports whether the walk has exceeded its limits.
func (w *walker) full() bool { return w.visited > maxNodes || w.leaves > machine.MaxSteps }

func (w *walker) nodes(nodes []Node, path string, depth int) []compensation.Node {
	if depth > MaxDepth {
		if !w.deep {
			w.add(path, fmt.Sprintf("is nested deeper than %d", MaxDepth), "flatten the sequences and parallels")
		}
		w.deep = true
		return nil
	}
	var children []compensation.Node
	for i := range nodes {
		w.visited++
		if w.full() {
			break
		}
		if child, ok := w.node(&nodes[i], fmt.Sprintf("%s[%d]", path, i), depth); ok {
			children = append(children, child)
		}
	}
	return children
}

func (w *walker) node(n *Node, path string, depth int) (compensation.Node, bool) {
	set := 0
	for _, is := range []bool{n.Step != nil, n.Parallel != nil, n.Sequence != nil} {
		if is {
			set++
		}
	}
	switch {
	case set == 0:
		w.add(path, "is empty", "give it a step, a parallel or a sequence")
		return compensation.Node{}, false
	case set > 1:
		w.add(path, "is more than one of step, parallel and sequence", "keep one, and put the others into nodes of their own")
		return compensation.Node{}, false
	case n.Step != nil:
		return w.leaf(n.Step, path)
	case n.Parallel != nil:
		return w.group(n.Parallel, compensation.Parallel, path+".parallel", depth)
	}
	return w.group(n.Sequence, compensation.Sequence, path+".sequence", depth)
}

func (w *walker) group(nodes []Node, shape compensation.Shape, path string, depth int) (compensation.Node, bool) {
	if len(nodes) == 0 {
		w.add(path, "has no steps", "add some or remove it")
		return compensation.Node{}, false
	}
	if shape == compensation.Parallel && len(nodes) > MaxParallel {
		w.add(path, fmt.Sprintf("has %d branches", len(nodes)), fmt.Sprintf("at most %d are allowed; put some into a parallel after it", MaxParallel))
		nodes = nodes[:MaxParallel]
	}
	children := w.nodes(nodes, path, depth+1)
	return compensation.Node{Shape: shape, Children: children}, len(children) > 0
}

var kinds = map[contract.Kind]compensation.Kind{
	"":                       0, // reported by compensation.Check
	contract.KindCompensable: compensation.Compensable,
	contract.KindPivot:       compensation.Pivot,
	contract.KindRetriable:   compensation.Retriable,
}

func (w *walker) leaf(s *Step, path string) (compensation.Node, bool) {
	if w.leaves++; w.full() {
		return compensation.Node{}, false
	}
	path = fmt.Sprintf("%s (%s)", path, quote.Short(string(s.Name)))
	w.step(s, path)
	kind, known := kinds[s.Kind]
	if !known {
		w.add(path+".kind", fmt.Sprintf("%q is not a kind", quote.Short(string(s.Kind))), "write compensable, pivot or retriable")
	}
	leaf := compensation.Node{Step: len(w.steps), Kind: kind}
	switch {
	case s.Undo != nil:
		leaf.Undo = compensation.HasUndo
	case s.NothingToUndo:
		leaf.Undo = compensation.NothingToUndo
	}
	w.steps = append(w.steps, checkedStep{s, path})
	return leaf, known
}
