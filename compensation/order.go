package compensation

// State is the state of a step's do and undo.
type State uint8

// The states of a leaf.
const (
	// Pending means that the do has not been requested, or that its request was never sent.
	Pending State = iota
	// Doing means that the do was requested and has not been answered.
	Doing
	// Done means that the do has completed.
	Done
	// Skipped means that an operator decided to continue without the step. The step counts as done
	// going forward, and there is nothing to undo in compensation.
	Skipped
	// Unknown means that the do was requested but its outcome is not known, so it may have
	// happened.
	Unknown
	// Rejected means that the do had no effect, so there is nothing to undo.
	Rejected
	// Undoing means that the undo was requested and has not ended.
	Undoing
	// Undone means that the step was undone, or that nothing is left to undo.
	Undone
)

// Forward calls yield with every step whose do may be requested now: the step is pending, and all
// steps before it in its sequence are done. Forward reports whether the whole tree is done.
func Forward(n *Node, state func(step int) State, yield func(step int)) (done bool) {
	switch n.Shape {
	case Leaf:
		s := state(n.Step)
		if s == Pending {
			yield(n.Step)
		}
		return s == Done || s == Skipped
	case Sequence:
		for i := range n.Children {
			if !Forward(&n.Children[i], state, yield) {
				return false
			}
		}
		return true
	case Parallel:
		done = true
		for i := range n.Children {
			if !Forward(&n.Children[i], state, yield) {
				done = false
			}
		}
		return done
	}
	panic("compensation: unknown shape of a node")
}

// Backward calls yield with every step whose undo may be requested now: its do may have happened,
// and all steps after it in its sequence are undone. Backward reports whether nothing is left to
// undo in the whole tree.
//
// All dos in progress must end first, so that every undo knows the result of its do. While any step
// is Doing, Backward yields nothing (see AtRest). Backward does not check the pivot: call it only
// while PastPivot is false.
func Backward(n *Node, state func(step int) State, yield func(step int)) (undone bool) {
	if !AtRest(n, state) {
		return false
	}
	return backward(n, state, yield)
}

func backward(n *Node, state func(int) State, yield func(int)) (undone bool) {
	switch n.Shape {
	case Leaf:
		switch state(n.Step) {
		case Done, Unknown:
			if n.Undo != HasUndo {
				return true
			}
			yield(n.Step)
			return false
		case Undoing:
			return false
		default:
			return true
		}
	case Sequence:
		for i := len(n.Children) - 1; i >= 0; i-- {
			if !backward(&n.Children[i], state, yield) {
				return false
			}
		}
		return true
	case Parallel:
		undone = true
		for i := len(n.Children) - 1; i >= 0; i-- {
			if !backward(&n.Children[i], state, yield) {
				undone = false
			}
		}
		return undone
	}
	panic("compensation: unknown shape of a node")
}

// AtRest reports whether no do is in progress.
func AtRest(n *Node, state func(step int) State) bool {
	atRest := true
	n.Leaves(func(leaf *Node) bool {
		atRest = state(leaf.Step) != Doing
		return atRest
	})
	return atRest
}

// PastPivot reports whether the saga can only go forward: its pivot is done or was skipped, or a
// retriable step is no longer pending. A retriable step has no undo, so the saga cannot compensate
// after its request; in a tree with a pivot, a retriable step is requested only after the pivot.
func PastPivot(n *Node, state func(step int) State) bool {
	past := false
	n.Leaves(func(leaf *Node) bool {
		switch leaf.Kind {
		case Pivot:
			s := state(leaf.Step)
			past = s == Done || s == Skipped
		case Retriable:
			past = state(leaf.Step) != Pending
		}
		return !past
	})
	return past
}

// Plan returns the order in which the saga would compensate now, as waves of steps whose undos may
// run together. It is shown to operators before they cancel. Branches of a parallel do not wait for
// each other, so an undo may begin before the previous wave has ended. Dos in progress count as
// Unknown, so they are undone too. If PastPivot is true, the plan is empty.
func Plan(n *Node, state func(step int) State) [][]int {
	if PastPivot(n, state) {
		return nil
	}
	taken := map[int]bool{}
	imagined := func(step int) State {
		switch s := state(step); {
		case taken[step]:
			return Undone
		case s == Doing:
			return Unknown
		case s == Undoing:
			return Done
		default:
			return s
		}
	}
	var waves [][]int
	for {
		var wave []int
		Backward(n, imagined, func(step int) { wave = append(wave, step) })
		if len(wave) == 0 {
			return waves
		}
		for _, step := range wave {
			taken[step] = true
		}
		waves = append(waves, wave)
	}
}
