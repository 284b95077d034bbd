package compensation_test

import (
	"fmt"

	"github.com/amends-dev/amends/compensation"
)

// checkout returns a tree of one step, two parallel steps, and the pivot.
func checkout() *compensation.Node {
	leaf := func(step int, kind compensation.Kind, undo compensation.Undo) compensation.Node {
		return compensation.Node{Step: step, Kind: kind, Undo: undo}
	}
	return &compensation.Node{Shape: compensation.Sequence, Children: []compensation.Node{
		leaf(0, compensation.Compensable, compensation.HasUndo),
		{Shape: compensation.Parallel, Children: []compensation.Node{
			leaf(1, compensation.Compensable, compensation.HasUndo),
			leaf(2, compensation.Compensable, compensation.HasUndo),
		}},
		leaf(3, compensation.Pivot, compensation.NoUndo),
	}}
}

// Before the pivot completes, steps are undone in reverse order, and parallel ones together.
func ExamplePlan() {
	states := []compensation.State{compensation.Done, compensation.Done, compensation.Done, compensation.Rejected}
	fmt.Println(compensation.Plan(checkout(), func(step int) compensation.State { return states[step] }))
	// Output:
	// [[2 1] [0]]
}

// Check reports all problems of a tree that could prevent the saga from ending.
func ExampleCheck() {
	tree := checkout()
	tree.Children[0].Undo = compensation.NoUndo
	tree.Children[2].Undo = compensation.HasUndo
	for _, problem := range compensation.Check(tree) {
		fmt.Printf("step %d: %s\n", problem.Step, problem)
	}
	// Output:
	// step 0: a compensable step has no undo; name the action that reverts the do, or declare that there is nothing to undo
	// step 3: a pivot step has an undo; remove the undo, or make the step compensable and put it before the pivot
}
