package compensation_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/compensation"
)

// tree draws a valid tree with up to a dozen leaves. If wild is true, it sometimes violates the
// rules.
func tree(t *rapid.T, wild bool) *compensation.Node {
	g := &grower{t: t, wild: wild, pivot: -1}
	n := rapid.IntRange(1, 6).Draw(t, "width")
	if rapid.Bool().Draw(t, "has pivot") {
		g.pivot = rapid.IntRange(0, n-1).Draw(t, "pivot at")
	}
	root := &compensation.Node{Shape: compensation.Sequence}
	for i := range n {
		g.at = i
		root.Children = append(root.Children, g.grow(2))
	}
	return root
}

type grower struct {
	t                 *rapid.T
	wild              bool
	pivot, at, leaves int
}

func (g *grower) grow(depth int) compensation.Node {
	if depth > 0 && (g.wild || g.at != g.pivot) && rapid.IntRange(0, 3).Draw(g.t, "branch") == 0 {
		n := compensation.Node{Shape: compensation.Sequence}
		if rapid.Bool().Draw(g.t, "parallel") {
			n.Shape = compensation.Parallel
		}
		for range rapid.IntRange(1, 3).Draw(g.t, "children") {
			n.Children = append(n.Children, g.grow(depth-1))
		}
		return n
	}
	leaf := compensation.Node{Step: g.leaves}
	g.leaves++
	switch {
	case g.wild && rapid.IntRange(0, 7).Draw(g.t, "against the rules") == 0:
		leaf.Kind = compensation.Kind(rapid.IntRange(0, 3).Draw(g.t, "kind"))
		leaf.Undo = compensation.Undo(rapid.IntRange(0, 2).Draw(g.t, "undo"))
	case g.pivot >= 0 && g.at == g.pivot:
		leaf.Kind = compensation.Pivot
	case g.pivot >= 0 && g.at > g.pivot:
		leaf.Kind = compensation.Retriable
	default:
		leaf.Kind = compensation.Compensable
		leaf.Undo = compensation.HasUndo
		if rapid.IntRange(0, 4).Draw(g.t, "needless") == 0 {
			leaf.Undo = compensation.NothingToUndo
		}
	}
	return leaf
}

// run executes a tree: forward to its end, or until turn steps have begun, and then backward. It
// records the order in which dos and undos begin and end.
type run struct {
	t      *rapid.T
	root   *compensation.Node
	states map[int]compensation.State
	did    []int // completed dos, in order
	undid  []int // completed undos, in order
	doAt   map[int]int
	undoAt map[int][2]int // begin and end of each undo
	clock  int
}

func newRun(t *rapid.T, root *compensation.Node) *run {
	return &run{t: t, root: root, states: map[int]compensation.State{}, doAt: map[int]int{}, undoAt: map[int][2]int{}}
}

func (r *run) state(i int) compensation.State { return r.states[i] }

func (r *run) in(s compensation.State) []int {
	var out []int
	for i, x := range r.states {
		if x == s {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out
}

func (r *run) forward(ends int) (done bool) {
	for range ends {
		var ready []int
		if compensation.Forward(r.root, r.state, func(i int) { ready = append(ready, i) }) {
			return true
		}
		for _, i := range ready {
			r.states[i] = compensation.Doing
		}
		under := r.in(compensation.Doing)
		if len(under) == 0 {
			r.t.Fatalf("stuck going forward: nothing under way, not done: %v", r.states)
		}
		i := rapid.SampledFrom(under).Draw(r.t, "ends")
		r.clock++
		r.states[i] = rapid.SampledFrom([]compensation.State{compensation.Done, compensation.Done, compensation.Done, compensation.Skipped}).Draw(r.t, "how")
		r.did = append(r.did, i)
		r.doAt[i] = r.clock
	}
	return compensation.Forward(r.root, r.state, func(int) {})
}

func (r *run) back() {
	for _, i := range r.in(compensation.Doing) {
		r.states[i] = rapid.SampledFrom([]compensation.State{compensation.Done, compensation.Unknown, compensation.Rejected}).Draw(r.t, "sibling")
		r.clock++
		r.doAt[i] = r.clock
	}
	for {
		undone := compensation.Backward(r.root, r.state, func(i int) {
			r.clock++
			r.undoAt[i] = [2]int{r.clock, 0}
			r.states[i] = compensation.Undoing
		})
		if undone {
			return
		}
		under := r.in(compensation.Undoing)
		if len(under) == 0 {
			r.t.Fatalf("stuck going back: %v", r.states)
		}
		i := rapid.SampledFrom(under).Draw(r.t, "undo ends")
		r.clock++
		r.undoAt[i] = [2]int{r.undoAt[i][0], r.clock}
		r.states[i] = compensation.Undone
		r.undid = append(r.undid, i)
	}
}

// TestForwardDoesEverything checks that a valid tree always reaches its end, and that every leaf is
// done once.
func TestForwardDoesEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := tree(t, false)
		r := newRun(t, root)
		if !r.forward(1000) {
			t.Fatalf("not done: %v", r.states)
		}
		n := 0
		root.Leaves(func(*compensation.Node) bool { n++; return true })
		if len(r.did) != n {
			t.Fatalf("%d of %d leaves done", len(r.did), n)
		}
	})
}

// TestBackwardIsTheMirrorImage checks that exactly the steps that may have happened are undone, in
// reverse order (I3, I4).
func TestBackwardIsTheMirrorImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := tree(t, false)
		r := newRun(t, root)
		r.forward(rapid.IntRange(0, 8).Draw(t, "ends"))
		if compensation.PastPivot(root, r.state) {
			if compensation.Plan(root, r.state) != nil {
				t.Fatal("a plan past the point of no return")
			}
			return
		}
		mayHaveHappened := map[int]bool{}
		plan := compensation.Plan(root, r.state)
		r.back()
		root.Leaves(func(leaf *compensation.Node) bool {
			s := r.states[leaf.Step]
			if s == compensation.Done || s == compensation.Unknown {
				mayHaveHappened[leaf.Step] = true // and was not undone
				if leaf.Undo == compensation.HasUndo {
					t.Fatalf("step %d may have happened and was not undone", leaf.Step)
				}
			}
			return true
		})
		for _, i := range r.undid {
			if node(root, i).Undo != compensation.HasUndo {
				t.Fatalf("step %d was undone and has no undo", i)
			}
			if r.doAt[i] == 0 {
				t.Fatalf("step %d was undone and was never answered", i)
			}
		}
		ordered(t, root, r)
		if planned := slices.Concat(plan...); len(planned) < len(r.undid) {
			t.Fatalf("the plan %v misses something that was undone: %v", plan, r.undid)
		}
	})
}

// ordered checks, for every sequence, that the undos of a later child end before those of an
// earlier child begin.
func ordered(t *rapid.T, n *compensation.Node, r *run) {
	for i := range n.Children {
		ordered(t, &n.Children[i], r)
		if n.Shape != compensation.Sequence {
			continue
		}
		for j := range i {
			for _, later := range leaves(&n.Children[i]) {
				for _, earlier := range leaves(&n.Children[j]) {
					a, undoneA := r.undoAt[later]
					b, undoneB := r.undoAt[earlier]
					if undoneA && undoneB && a[1] > b[0] {
						t.Fatalf("undo of %d began before undo of %d, which comes later, ended", earlier, later)
					}
				}
			}
		}
	}
}

func node(root *compensation.Node, step int) (found *compensation.Node) {
	root.Leaves(func(leaf *compensation.Node) bool {
		if leaf.Step == step {
			found = leaf
		}
		return found == nil
	})
	return found
}

func leaves(n *compensation.Node) (out []int) {
	n.Leaves(func(leaf *compensation.Node) bool { out = append(out, leaf.Step); return true })
	return out
}

// TestAtRestBeforeUndo checks that nothing is undone while a do is in progress.
func TestAtRestBeforeUndo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := tree(t, false)
		states := map[int]compensation.State{}
		root.Leaves(func(leaf *compensation.Node) bool {
			states[leaf.Step] = compensation.State(rapid.IntRange(0, 7).Draw(t, "state"))
			return true
		})
		state := func(i int) compensation.State { return states[i] }
		yielded := false
		undone := compensation.Backward(root, state, func(i int) {
			yielded = true
			if s := states[i]; s != compensation.Done && s != compensation.Unknown {
				t.Fatalf("undo of step %d in state %d", i, s)
			}
		})
		if !compensation.AtRest(root, state) && (yielded || undone) {
			t.Fatal("an undo while a do is in progress")
		}
	})
}

// TestCheckKnowsTheRules checks that valid trees have no problems, and that in wild trees Check
// finds a problem exactly if a naive implementation of the rules does.
func TestCheckKnowsTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if problems := compensation.Check(tree(t, false)); len(problems) > 0 {
			t.Fatalf("a tree made by the rules has problems: %v", problems)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		root := tree(t, true)
		problems := compensation.Check(root)
		if wellFormed(root) != (len(problems) == 0) {
			t.Fatalf("plain reading says %v, Check says %v", wellFormed(root), problems)
		}
	})
}

// wellFormed implements the rules naively: for every ordered pair of leaves, and for every single
// leaf.
func wellFormed(root *compensation.Node) bool {
	ok := true
	kinds := map[int]compensation.Kind{}
	pivots := 0
	root.Leaves(func(leaf *compensation.Node) bool {
		kinds[leaf.Step] = leaf.Kind
		switch leaf.Kind {
		case compensation.Compensable:
			ok = ok && leaf.Undo != compensation.NoUndo
		case compensation.Pivot:
			pivots++
			ok = ok && leaf.Undo == compensation.NoUndo
		case compensation.Retriable:
			ok = ok && leaf.Undo == compensation.NoUndo
		default:
			ok = false
		}
		return true
	})
	ok = ok && pivots <= 1
	var visit func(n *compensation.Node, inParallel bool)
	visit = func(n *compensation.Node, inParallel bool) {
		if n.Shape == compensation.Leaf {
			ok = ok && (!inParallel || n.Kind != compensation.Pivot)
			return
		}
		for i := range n.Children {
			visit(&n.Children[i], inParallel || n.Shape == compensation.Parallel)
			for j := range i {
				for _, a := range leaves(&n.Children[j]) {
					for _, b := range leaves(&n.Children[i]) {
						// a is before b or parallel to it
						if kinds[a] > kinds[b] {
							ok = false
						}
						if n.Shape == compensation.Parallel && kinds[a] != kinds[b] {
							ok = false
						}
					}
				}
			}
		}
	}
	visit(root, false)
	return ok
}

func TestCheckEmpty(t *testing.T) {
	for _, root := range []*compensation.Node{{Shape: compensation.Sequence}, {Shape: compensation.Parallel}} {
		if problems := compensation.Check(root); len(problems) != 1 || problems[0].Step != -1 {
			t.Errorf("an empty tree: %v", problems)
		}
	}
}
