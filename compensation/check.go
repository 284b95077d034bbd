package compensation

import "fmt"

// Problem is one reason why a tree is not valid.
type Problem struct {
	Step int    // the leaf concerned, or -1 for the whole tree
	What string // what is wrong
	Fix  string // how to fix it
}

func (p Problem) String() string { return p.What + "; " + p.Fix }

// Check returns all problems of the tree. The problems of a parallel as a whole follow the problems
// of its leaves. If there are no problems, the saga can always end, forward or in compensation,
// from every state.
//
// A valid tree follows these rules. It has at least one step, and at most one pivot, which is not
// inside a parallel. A compensable step has an undo or declares that there is nothing to undo, and
// it comes before the pivot and before every retriable step. Pivot and retriable steps have no
// undo. A retriable step comes after every compensable step and after the pivot.
func Check(root *Node) []Problem {
	c := checker{pivot: -1, retriable: -1}
	leaves := 0
	root.Leaves(func(*Node) bool { leaves++; return true })
	if leaves == 0 {
		return []Problem{{-1, "there is no step", "add at least one"}}
	}
	c.node(root, true)
	return c.problems
}

type checker struct {
	problems  []Problem
	pivot     int // number of the first pivot so far, or -1
	retriable int // number of the first retriable step so far, or -1
}

func (c *checker) add(step int, what, fix string) {
	c.problems = append(c.problems, Problem{step, what, fix})
}

func (c *checker) node(n *Node, outermost bool) {
	switch n.Shape {
	case Leaf:
		c.leaf(n, outermost)
	case Sequence:
		for i := range n.Children {
			c.node(&n.Children[i], outermost)
		}
	default:
		c.parallel(n)
	}
}

// parallel checks each branch against the steps before the parallel, and then whether the branches
// are compatible.
func (c *checker) parallel(n *Node) {
	before := *c
	var compensable, retriable = -1, -1
	for i := range n.Children {
		branch := checker{pivot: before.pivot, retriable: before.retriable}
		branch.node(&n.Children[i], false)
		c.problems = append(c.problems, branch.problems...)
		if c.pivot < 0 {
			c.pivot = branch.pivot
		}
		if c.retriable < 0 {
			c.retriable = branch.retriable
		}
	}
	n.Leaves(func(leaf *Node) bool {
		switch leaf.Kind {
		case Compensable:
			if compensable < 0 {
				compensable = leaf.Step
			}
		case Retriable:
			if retriable < 0 {
				retriable = leaf.Step
			}
		}
		return true
	})
	// After a pivot or a retriable step, the compensable steps have been reported already.
	if len(n.Children) > 1 && compensable >= 0 && retriable >= 0 && before.retriable < 0 && before.pivot < 0 {
		c.add(retriable, "a retriable step runs beside a compensable one in the same parallel",
			"put all retriable steps behind the parallel: once one of them has begun there is no way back")
	}
}

func (c *checker) leaf(n *Node, outermost bool) {
	switch n.Kind {
	case Compensable:
		if n.Undo == NoUndo {
			c.add(n.Step, "a compensable step has no undo",
				"name the action that reverts the do, or declare that there is nothing to undo")
		}
	case Pivot, Retriable:
		if n.Undo != NoUndo {
			c.add(n.Step, fmt.Sprintf("a %s step has an undo", n.Kind),
				"remove the undo, or make the step compensable and put it before the pivot")
		}
	default:
		c.add(n.Step, "the step has no kind", "make it compensable, pivot or retriable")
	}
	c.position(n, outermost)
}

func (c *checker) position(n *Node, outermost bool) {
	switch n.Kind {
	case Compensable:
		if c.pivot >= 0 {
			c.add(n.Step, "a compensable step comes after the pivot",
				"move it before the pivot, or make it retriable: after the pivot nothing is taken back")
		} else if c.retriable >= 0 {
			c.add(n.Step, "a compensable step comes after a retriable one",
				"move it before the first retriable step, which cannot be taken back")
		}
	case Pivot:
		switch {
		case c.pivot >= 0:
			c.add(n.Step, "there is a second pivot", "keep one pivot; make this step retriable, or compensable and before the pivot")
		case !outermost:
			c.add(n.Step, "the pivot stands inside a parallel",
				"put it in the outermost sequence, so that everything else is clearly before or after it")
		case c.retriable >= 0:
			c.add(n.Step, "the pivot comes after a retriable step", "move the retriable step behind the pivot")
		}
		if c.pivot < 0 {
			c.pivot = n.Step
		}
	case Retriable:
		if c.retriable < 0 {
			c.retriable = n.Step
		}
	}
}
