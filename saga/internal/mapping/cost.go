package mapping

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/amends-dev/amends/saga/machine"
)

// The cost of an evaluation is bounded in units. A unit takes about 100 ns of one processor, but
// the bound never depends on time, so that the result is the same on every machine (I6). CEL counts
// one unit per operation. The prices here also count the bytes and items on which an operation
// works. CEL's own prices assume values of a few bytes: they ignore the size of a string, and the
// size of a list in a list.
const (
	// maxCost bounds the cost of an evaluation (I10), which then takes about 20 ms. If the cost
	// exceeds it, the saga compensates or is parked.
	maxCost = 200_000
	// quickCost bounds the cost of a quick evaluation, which runs between other decisions and takes
	// about 0.5 ms.
	quickCost = 5_000
	// quickData bounds, in bytes, the data that a quick evaluation reads. It also bounds the output.
	quickData = 8 << 10
	// readPerUnit and writtenPerUnit are the numbers of bytes of JSON whose reading or writing costs
	// one unit.
	readPerUnit    = 2
	writtenPerUnit = 10
	// bytesPerUnit is the number of bytes of a string whose reading costs one unit.
	bytesPerUnit = 64
	// maxRegex bounds a compiled regular expression, in instructions. The expression is RE2, so
	// matching is linear in the text.
	maxRegex = 500
	// maxPattern bounds the text of a regular expression, in bytes.
	maxPattern = 1000
)

// pricing prices the calls of an expression after they have been executed. The work of one call is
// bounded by the sizes of its arguments. These sizes are bounded by the data and the cost so far.
type pricing struct{}

// paying is the name of the call that charges the cost of a node (see pay).
const paying = "pay"

// prices holds the small prices, so that CallCost need not allocate them.
var prices = func() (p [256]uint64) {
	for i := range p {
		p[i] = uint64(i)
	}
	return p
}()

// CallCost implements cost.ActualCostEstimator.
func (pricing) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := uint64(1)
	switch function {
	case paying:
		n, _ := args[0].(types.Int)
		cost = uint64(n)
	case operators.Equals, operators.NotEquals, operators.In:
		for _, a := range args {
			cost += deepSize(a)
		}
	case operators.Add:
		cost += addCost(args, result)
	case overloads.TypeConvertTimestamp, overloads.TypeConvertDuration:
		cost += 3 + textSize(args[0])
	default:
		for _, a := range args {
			cost += textSize(a)
		}
	}
	if cost < uint64(len(prices)) {
		return &prices[cost]
	}
	return &cost
}

// addCost returns the cost of an addition. An addition copies strings and lists (see adder). But a
// macro appends to the list that it builds, which costs nothing here.
func addCost(args []ref.Val, result ref.Val) uint64 {
	if _, built := args[0].(traits.MutableLister); built {
		return 0
	}
	if list, ok := result.(traits.Lister); ok {
		n, _ := list.Size().(types.Int)
		return uint64(n)
	}
	return textSize(result)
}

// textSize returns the cost of reading a string, or 0 if v is not a string.
func textSize(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v)) / bytesPerUnit
	case types.Bytes:
		return uint64(len(v)) / bytesPerUnit
	}
	return 0
}

// sizes counts the items and strings of values. Values cache their size.
var sizes = types.NewSizeCalculator(
	types.SizeCalculatorMaxDepth(maxCost), types.SizeCalculatorMaxTraversal(2*machine.MaxState), types.SizeCalculatorStringUnitLength(bytesPerUnit))

// deepSize returns the cost of reading all of a value.
func deepSize(v ref.Val) uint64 {
	switch v.(type) {
	case types.String, types.Bytes:
		return textSize(v)
	case traits.Lister, traits.Mapper, *object, *types.Optional:
		return uint64(sizes.AggregateSize(v))
	}
	return 0
}

// pay charges a node for the work that it is about to do. It ends the evaluation if the total cost
// is too high.
func pay(frame *interpreter.ExecutionFrame, id int64, units int) {
	frame.CostTracker().EvalUnary(nil, id, payment{}, types.Int(units), nil)
}

// payment is the call that charges the cost of a node.
type payment struct{}

// Function implements cost.Call.
func (payment) Function() string { return paying }

// OverloadID implements cost.Call.
func (payment) OverloadID() string { return paying }

// price wraps the nodes that do more work than CEL counts, so that this work is charged. It also
// makes the order of keys deterministic in the maps that an expression builds.
func price(node interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch n := node.(type) {
	case interpreter.InterpretableConstructor:
		items := len(n.InitVals())
		if n.Type() == types.MapType {
			items *= 3 // the keys are hashed and sorted
		}
		return maker{node, items}, nil
	case interpreter.InterpretableCall:
		switch {
		case n.Function() == operators.Add:
			return adder{node}, nil
		case n.Function() == overloads.Matches && len(n.Args()) == 2:
			return newMatcher(n)
		case n.Function() == overloads.Contains && len(n.Args()) == 2:
			return searcher{n}, nil
		}
	}
	return node, nil
}

// maker creates a list or map, and charges each item.
type maker struct {
	interpreter.InterpretableV2

	items int
}

// Exec implements interpreter.InterpretableV2.
func (n maker) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	pay(frame, n.ID(), n.items)
	v := n.InterpretableV2.Exec(frame)
	m, ok := v.(traits.Mapper)
	if !ok {
		return v
	}
	made, texts := sorted(m), uint64(0)
	for _, key := range made.keys {
		texts += textSize(key)
	}
	if texts > 0 {
		pay(frame, n.ID(), int(texts))
	}
	return made
}

// Eval implements interpreter.Interpretable.
func (n maker) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// adder adds two values, and copies the result if it is a list. CEL does not copy lists: on every
// access to an item, it searches the operands of all additions. And a list that is doubled
// repeatedly would have more items than were charged.
type adder struct{ interpreter.InterpretableV2 }

// Exec implements interpreter.InterpretableV2.
func (n adder) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := n.InterpretableV2.Exec(frame)
	list, ok := v.(traits.Lister)
	if _, built := v.(traits.MutableLister); !ok || built {
		return v
	}
	size, _ := list.Size().(types.Int)
	items := make([]ref.Val, 0, size)
	for it := list.Iterator(); it.HasNext() == types.True; {
		items = append(items, it.Next())
	}
	return types.NewRefValList(types.DefaultTypeAdapter, items)
}

// Eval implements interpreter.Interpretable.
func (n adder) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}
