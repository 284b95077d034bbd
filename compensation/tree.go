package compensation

// Kind is the role of a step in compensation.
type Kind uint8

// The kinds of steps.
const (
	// Compensable steps can be undone. They come before the pivot.
	Compensable Kind = iota + 1
	// Pivot is the point of no return: once it has completed, the saga only goes forward.
	Pivot
	// Retriable steps are retried until they complete; a participant must not reject them. They come
	// after the pivot.
	Retriable
)

// String returns compensable, pivot or retriable.
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

// Undo describes the undo of a step.
type Undo uint8

// The values of Undo.
const (
	// NoUndo means that the step has no undo action.
	NoUndo Undo = iota
	// HasUndo means that the step has an undo action.
	HasUndo
	// NothingToUndo means that the step declares to have no effect that must be undone.
	NothingToUndo
)

// Shape says how the children of a node are executed.
type Shape uint8

// The shapes of a node.
const (
	Leaf     Shape = iota // one step, no children
	Sequence              // children run one after the other
	Parallel              // children run concurrently
)

// Node is a node of a saga's tree: a step, a sequence or a parallel.
type Node struct {
	Shape    Shape
	Step     int    // the leaf's number; leaves are numbered from 0 in the order of the definition
	Kind     Kind   // kind of a leaf
	Undo     Undo   // undo of a leaf
	Children []Node // children of a sequence or parallel
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
