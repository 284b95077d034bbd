package compensation

// Kind says what becomes of a step when the saga has to go back.
type Kind uint8

// The kinds.
const (
	// Compensable: can be undone. Comes before the pivot.
	Compensable Kind = iota + 1
	// Pivot: the point of no return. Once it has completed the saga only goes forward.
	Pivot
	// Retriable: cannot be refused for good; tried until it completes. Comes after the pivot.
	Retriable
)

// String is the kind's word: compensable, pivot or retriable.
func (k Kind) String() string {
	switch k {
	case Compensable:
		return "compensable"
	case Pivot:
		return "pivot"
	case Retriable:
		return "retriable"
	}
	return "unknown kind"
}

// Undo reports whether a step can be taken back.
type Undo uint8

// The ways a step stands to its undo.
const (
	// NoUndo: the step names none.
	NoUndo Undo = iota
	// HasUndo: the step names the action that takes it back.
	HasUndo
	// NothingToUndo: the step declares that it has no effect that would have to be taken back.
	NothingToUndo
)

// Shape says how the children of a node follow each other.
type Shape uint8

// The shapes.
const (
	Leaf     Shape = iota // one step, no children
	Sequence              // children one after the other
	Parallel              // children at the same time
)

// Node is a position in a saga's tree: a step, or a sequence or parallel of nodes.
type Node struct {
	Shape    Shape
	Step     int    // the leaf's number; leaves are numbered from 0 in the order of the definition
	Kind     Kind   // of a leaf
	Undo     Undo   // of a leaf
	Children []Node // of a sequence or parallel
}

// Leaves calls yield for every leaf from left to right until yield returns false.
func (n *Node) Leaves(yield func(*Node) bool) {
	n.walk(yield)
}

func (n *Node) walk(yield func(*Node) bool) bool {
	if n.Shape == Leaf {
		return yield(n)
	}
	for i := range n.Children {
		if !n.Children[i].walk(yield) {
			return false
		}
	}
	return true
}
