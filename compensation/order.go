package compensation

// State is the state of a step's do and undo.
type State uint8

// The states of a leaf.
const (
	// Pending: its do has not been requested, or is known to have had no effect and does not delay
	// compensation.
	Pending State = iota
	// Doing: the do was requested and has not been answered.
	Doing
	// Done: the do has completed.
	Done
	// Skipped: an operator decided to continue without it. Going forward it counts as done; in
	// compensation there is nothing to undo.
	Skipped
	// Unknown: the do was requested and no answer says what became of it, so it may have happened.
	Unknown
	// Rejected: the do had no effect, and there is nothing to undo.
	Rejected
	// Undoing: the undo was requested and has not ended.
	Undoing
	// Undone: the step was undone, or there is nothing left to undo.
	Undone
)

// Forward calls yield with every step whose do may be requested now: it is pending, and everything
// before it in its sequence is done. It reports whether the whole tree is done.
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
	panic("compensation: a node without a shape")
}

// Backward calls yield with every step whose undo may be requested now: its do may have happened,
// and everything after it in its sequence is undone. It reports whether nothing is left to undo in
// the whole tree.
//
// Do's in progress must end first, so that an undo knows its do's result: while any step is Doing,
// Backward yields nothing (see AtRest). It does not look at the pivot: call it only while PastPivot
// is false.
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
	panic("compensation: a node without a shape")
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

// PastPivot reports whether the saga can only go forward: its pivot is done or was skipped, or,
// without a pivot, a retriable step was requested. (A retriable step has no undo, so the saga
// cannot compensate once one has been requested.)
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

// Plan returns the order in which the saga would compensate from here, as waves of steps that may
// run together. Branches of a parallel do not wait for one another, so an undo may begin before the
// wave before its own has ended. Operators see it before they cancel. Do's in progress count as
// done. Past the point of no return it is empty.
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
