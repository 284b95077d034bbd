package mapping

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
)

// muchItems is the size, in items or characters, that estimates assume for each value of unknown
// size.
const muchItems = 1000

// estimator estimates the cost of an expression: the minimum for any data, and the maximum if every
// value of unknown size has muchItems.
type estimator struct{}

// EstimateSize implements cost.Estimator for values that the expression does not contain literally.
func (estimator) EstimateSize(cost.AstNode) *cost.SizeEstimate {
	return &cost.SizeEstimate{Max: muchItems}
}

// EstimateCallCost implements cost.Estimator. The cost of calls depends on the data (see pricing).
func (estimator) EstimateCallCost(_, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return cost.NewCallEstimate(cost.Estimate{Max: 1 + muchItems/bytesPerUnit}, nil)
}

// estimate returns the minimum cost of an expression. It returns a problem for an expression that
// exceeds maxCost with any data, and a note for an expression that may exceed maxCost with much
// data.
func (c *Compiler) estimate(checked *cel.Ast) (least int, problems, notes []Problem) {
	estimated, err := c.env.EstimateCost(checked, estimator{})
	if !skips(checked) {
		least = int(min(estimated.Min, 2*maxCost))
	}
	const fix = "iterate over the data once instead of once per item, or move the work into the participant"
	switch {
	case err != nil:
		return 0, nil, nil // the cost is unknown until the evaluation
	case least > maxCost:
		return least, []Problem{{What: fmt.Sprintf("exceeds the cost limit of %d units per evaluation, whatever the data", maxCost), Fix: fix}}, nil
	case estimated.Max > maxCost:
		return least, nil, []Problem{{What: fmt.Sprintf("may exceed the cost limit of %d units per evaluation if lists in the data have %d items: such a saga would be compensated", maxCost, muchItems), Fix: fix}}
	}
	return least, nil, nil
}

// skips reports whether an evaluation may complete without evaluating every part of the expression.
// The estimate ignores this possibility, which exists if the expression selects from optional
// values, or has operators that ignore a failure on one side.
func skips(checked *cel.Ast) bool {
	found := false
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		for _, function := range []string{operators.OptSelect, operators.OptIndex, operators.LogicalAnd, operators.LogicalOr} {
			found = found || isCall(e, function)
		}
	}))
	return found
}
