package saga

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
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
	types.SizeCalculatorMaxDepth(maxCost), types.SizeCalculatorMaxTraversal(2*MaxState), types.SizeCalculatorStringUnitLength(bytesPerUnit))

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
	if m, ok := v.(traits.Mapper); ok {
		return sorted(m)
	}
	return v
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

// matcher matches a regular expression, whose cost follows from how it is compiled.
type matcher struct {
	interpreter.InterpretableCall

	constant *pattern // nil: it is data
}

// pattern is a compiled regular expression.
type pattern struct {
	re   *regexp.Regexp
	size int // in instructions
}

func newMatcher(call interpreter.InterpretableCall) (*matcher, error) {
	m := &matcher{InterpretableCall: call}
	c, ok := call.Args()[1].(interpreter.InterpretableConst)
	if !ok {
		return m, nil
	}
	text, ok := c.Value().(types.String)
	if !ok {
		return m, nil
	}
	var err error
	if m.constant, err = compile(string(text)); err != nil {
		return nil, fmt.Errorf("a regular expression: %w", err)
	}
	return m, nil
}

func compile(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("it is %d bytes long, at most %d are allowed", len(text), maxPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxRegex {
		return nil, fmt.Errorf("it has %d instructions, at most %d are allowed", len(program.Inst), maxRegex)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{re, len(program.Inst)}, nil
}

// Exec implements interpreter.InterpretableV2.
func (n *matcher) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	var texts [2]types.String
	for i, arg := range n.Args() {
		v := arg.Exec(frame)
		if types.IsUnknownOrError(v) {
			return v
		}
		text, ok := v.(types.String)
		if !ok {
			return types.LabelErrNode(n.ID(), types.MaybeNoSuchOverloadErr(v))
		}
		texts[i] = text
	}
	p := n.constant
	if p == nil {
		pay(frame, n.ID(), min(len(texts[1]), maxPattern)+2*maxRegex)
		var err error
		if p, err = compile(string(texts[1])); err != nil {
			return types.LabelErrNode(n.ID(), faulty("", faultRegex, "%v", err))
		}
	}
	pay(frame, n.ID(), 1+len(texts[0])*(p.size+19)/20)
	return types.Bool(p.re.MatchString(string(texts[0])))
}

// Eval implements interpreter.Interpretable.
func (n *matcher) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}
