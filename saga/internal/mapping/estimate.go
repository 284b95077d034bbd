package mapping

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
)

// muchItems is how many items, or characters, all that comes with the data is taken to have
// when it is estimated what a mapping may cost.
const muchItems = 1000

// estimator estimates what an expression costs: at least, whatever the data is, and at most
// with muchItems everywhere.
type estimator struct{}

// EstimateSize implements cost.Estimator, for what is not written out in the expression.
func (estimator) EstimateSize(cost.AstNode) *cost.SizeEstimate {
	return &cost.SizeEstimate{Max: muchItems}
}

// EstimateCallCost implements cost.Estimator. What calls cost follows from the data (pricing).
func (estimator) EstimateCallCost(_, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return cost.NewCallEstimate(cost.Estimate{Max: 1 + muchItems/bytesPerUnit}, nil)
}

// estimate returns the least that an expression costs. It refuses one that always costs too
// much, and notes one that does with much data.
func (c *Compiler) estimate(checked *cel.Ast) (least int, problems, notes []Problem) {
	estimated, err := c.env.EstimateCost(checked, estimator{})
	if !skips(checked) {
		least = int(min(estimated.Min, 2*maxCost))
	}
	const fix = "go through the data once, not once for each item of it, or move the work into the participant"
	switch {
	case err != nil:
		return 0, nil, nil // what it costs is seen when it is evaluated
	case least > maxCost:
		return least, []Problem{{What: fmt.Sprintf("costs more than the %d units that an evaluation may, whatever the data is", maxCost), Fix: fix}}, nil
	case estimated.Max > maxCost:
		return least, nil, []Problem{{What: fmt.Sprintf("may cost more than the %d units of an evaluation where lists of the data have %d items: such a saga goes back", maxCost, muchItems), Fix: fix}}
	}
	return least, nil, nil
}

// skips reports whether an expression may come to its end although a part of it was not
// evaluated, which the estimate does not know: it selects from optional values, or has
// operators that a failure on one side of them does not end.
func skips(checked *cel.Ast) bool {
	found := false
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		for _, function := range []string{operators.OptSelect, operators.OptIndex, operators.LogicalAnd, operators.LogicalOr} {
			found = found || isCall(e, function)
		}
	}))
	return found
}
