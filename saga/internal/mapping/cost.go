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

// An evaluation is bounded by what it costs, in units of about 100 ns of one processor, and
// never by time, so that the verdict is the same on every machine (I6). CEL counts one unit
// for each operation; what an operation does for each byte or item that it touches is priced
// here. CEL's own prices are for values of a few bytes: it takes the size of a string, or of a
// list within a list, for nothing.
const (
	// maxCost bounds an evaluation (I10): about 20 ms. Beyond it the saga goes back, or is
	// parked.
	maxCost = 200_000
	// quickCost bounds a quick evaluation, beside other decisions: about 0.5 ms.
	quickCost = 5_000
	// quickData bounds the data that a quick evaluation reads, and what it makes of it, in bytes
	// each.
	quickData = 8 << 10
	// readPerUnit and writtenPerUnit are how many bytes of JSON are read, or written, for a
	// unit.
	readPerUnit    = 2
	writtenPerUnit = 10
	// bytesPerUnit is how many bytes of a string cost a unit.
	bytesPerUnit = 64
	// maxRegex bounds a compiled regular expression, in instructions. They are RE2: linear
	// in the text.
	maxRegex = 500
	// maxPattern bounds a regular expression, in bytes.
	maxPattern = 1000
)

// pricing prices the calls of an expression, once they are done. What one call can do is
// bounded by the sizes of its arguments, and those by the data and by what was paid before.
type pricing struct{}

// paying is the function of the calls with which nodes pay for what they do.
const paying = "pay"

// prices are the small ones, so that they need not be allocated.
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

// addCost is that of a sum: strings are copied, and so are lists (adder), but for the one
// that a macro builds, to which an item is appended.
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

// textSize is what the bytes of a string cost; 0: it is none.
func textSize(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v)) / bytesPerUnit
	case types.Bytes:
		return uint64(len(v)) / bytesPerUnit
	}
	return 0
}

// sizes counts the items and strings of values, which remember it.
var sizes = types.NewSizeCalculator(
	types.SizeCalculatorMaxDepth(maxCost), types.SizeCalculatorMaxTraversal(2*machine.MaxState), types.SizeCalculatorStringUnitLength(bytesPerUnit))

// deepSize is what it costs to look at all of a value.
func deepSize(v ref.Val) uint64 {
	switch v.(type) {
	case types.String, types.Bytes:
		return textSize(v)
	case traits.Lister, traits.Mapper, *object, *types.Optional:
		return uint64(sizes.AggregateSize(v))
	}
	return 0
}

// pay takes the price of what a node is about to do, and ends the evaluation when it is too
// much.
func pay(frame *interpreter.ExecutionFrame, id int64, units int) {
	frame.CostTracker().EvalUnary(nil, id, payment{}, types.Int(units), nil)
}

// payment is the call with which a node pays.
type payment struct{}

// Function implements cost.Call.
func (payment) Function() string { return paying }

// OverloadID implements cost.Call.
func (payment) OverloadID() string { return paying }

// price has those nodes pay that do more than CEL counts, and gives the maps that an
// expression builds one order.
func price(node interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch n := node.(type) {
	case interpreter.InterpretableConstructor:
		items := len(n.InitVals())
		if n.Type() == types.MapType {
			items *= 3 // they are hashed and sorted
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

// maker makes a list or map, and pays for each item.
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

// adder adds. CEL does not copy lists, but looks through all that a list was added of
// whenever an item is asked for; and a list of two lists of two lists … has more items than
// anybody has paid for.
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
