package compensation

// State is what is known of a step's do and undo, as far as order needs it.
type State uint8

// The states of a leaf.
const (
	// Pending: its do was never asked for, or is known to have left no trace
	// and does not hold anybody up any more when going back.
	Pending State = iota
	// Doing: asked for, not answered yet.
	Doing
	// Done: completed.
	Done
	// Skipped: an operator decided to go on without it. Going forward it counts as
	// done, going back there is nothing to take back.
	Skipped
	// Unknown: asked for, never answered: it may have happened.
	Unknown
	// Rejected: it left no trace and there is nothing to undo.
	Rejected
	// Undoing: its undo was asked for and has not ended.
	Undoing
	// Undone: taken back, or there is nothing left to take back.
	Undone
)

// Forward calls yield with every step whose do may be asked for now: it is
// pending and everything before it in its sequence is done. It reports whether
// the whole tree is done.
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
	default:
		done = true
		for i := range n.Children {
			if !Forward(&n.Children[i], state, yield) {
				done = false
			}
		}
		return done
	}
}

// Backward calls yield with every step whose undo may be asked for now: its do
// may have happened and everything after it in its sequence is taken back. It
// reports whether nothing is left to take back in the whole tree.
//
// Do's in progress end first: while any step is Doing, Backward yields nothing
// (see AtRest), so that an undo knows its do's result.
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
	default:
		undone = true
		for i := len(n.Children) - 1; i >= 0; i-- {
			if !backward(&n.Children[i], state, yield) {
				undone = false
			}
		}
		return undone
	}
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

// PastPivot reports whether the saga can only go forward: its pivot is done
// (or was skipped) or, in a saga without pivot, a retriable step was asked for. (A retriable step
// has no undo, so the first one closes the way back.)
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

// Plan is the order in which a saga would go back from here: waves of steps,
// the steps of a wave together, each wave when the one before is taken back. It
// is what operators are shown before they cancel. Do's in progress count as if
// they will be done. Past the point of no return it is empty.
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
