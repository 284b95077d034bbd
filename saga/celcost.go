package saga

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
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
	if readingCost(text) > maxCost {
		return nil, errors.New("its classes have too many characters, or too many ranges where upper and lower case are alike")
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if n := instructions(parsed); n > maxRegex {
		return nil, fmt.Errorf("it has %d instructions or more, at most %d are allowed", n, maxRegex)
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

// readingCost is what reading the classes of a regular expression costs, at most, which is
// not in proportion to its text: a class of Unicode is looked up in tables, and where upper
// and lower case are alike each character of a range is looked at.
func readingCost(text string) int {
	if len(text) > maxPattern {
		return 0 // it is not read
	}
	const (
		table    = 1500    // units of \p and \P
		perUnit  = 2       // characters
		lastCase = 0x1e943 // no character behind it has a case
		posix    = 0x80 / perUnit
	)
	tables := strings.Count(text, `\p`) + strings.Count(text, `\P`)
	cost := table * tables
	if !ignoresCase(text) {
		return cost
	}
	cost += posix * strings.Count(text, "[:")
	for i := range len(text) - 1 {
		if text[i] == '-' {
			cost += int(min(rangeEnd(text[i+1:]), lastCase)) / perUnit
		}
	}
	return cost
}

// flags are those in a regular expression that switch to ignoring case, or to more.
var flags = regexp.MustCompile(`\(\?[A-Za-z]*i`)

func ignoresCase(text string) bool { return flags.MatchString(text) }

// rangeEnd is the character with which a range ends, at most.
func rangeEnd(text string) rune {
	c, _ := utf8.DecodeRuneInString(text)
	switch {
	case c != '\\':
		return c
	case strings.HasPrefix(text, `\x{`):
		digits, _, _ := strings.Cut(text[len(`\x{`):], "}")
		if n, err := strconv.ParseUint(digits, 16, 32); err == nil {
			return rune(min(n, unicode.MaxRune))
		}
		return 0 // it is no regular expression
	}
	return 0o777 // \x7f, \377, \n
}

// instructions is how many a regular expression is compiled to, at least. Repetitions are
// written out when it is compiled, however many they are.
func instructions(re *syntax.Regexp) (n int) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return 0
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCapture:
		n = 2
	case syntax.OpAlternate:
		n = len(re.Sub) - 1
	}
	if len(re.Sub) == 0 {
		return 1
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max)
	}
	return n
}

// textsOf are the arguments of a call that takes two strings; otherwise what it gives.
func textsOf(n interpreter.InterpretableCall, frame *interpreter.ExecutionFrame) (texts [2]types.String, otherwise ref.Val) {
	for i, arg := range n.Args() {
		v := arg.Exec(frame)
		if types.IsUnknownOrError(v) {
			return texts, v
		}
		text, ok := v.(types.String)
		if !ok {
			return texts, types.LabelErrNode(n.ID(), types.MaybeNoSuchOverloadErr(v))
		}
		texts[i] = text
	}
	return texts, nil
}

// searcher looks for a string in another one, in time linear in both. The one of package
// strings compares sums first, and data can be made of which all sums are equal.
type searcher struct{ interpreter.InterpretableCall }

// Exec implements interpreter.InterpretableV2.
func (n searcher) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	texts, otherwise := textsOf(n, frame)
	if otherwise != nil {
		return otherwise
	}
	pay(frame, n.ID(), 1+int(textSize(texts[0])+textSize(texts[1])))
	return types.Bool(contains(string(texts[0]), string(texts[1])))
}

// Eval implements interpreter.Interpretable.
func (n searcher) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// shortPart is how long a string is at most for which strings.Contains is linear enough.
const shortPart = 32

// contains reports whether part is in text (Knuth, Morris, Pratt).
func contains(text, part string) bool {
	if len(part) <= shortPart || len(part) >= len(text) {
		return strings.Contains(text, part)
	}
	border := make([]int32, len(part)) // of part up to here: the longest beginning that is an end, too
	for i, k := 1, 0; i < len(part); i++ {
		for k > 0 && part[i] != part[k] {
			k = int(border[k-1])
		}
		if part[i] == part[k] {
			k++
		}
		border[i] = int32(k)
	}
	for i, k := 0, 0; i < len(text); i++ {
		for k > 0 && text[i] != part[k] {
			k = int(border[k-1])
		}
		if text[i] == part[k] {
			k++
		}
		if k == len(part) {
			return true
		}
	}
	return false
}

// patterns is what CEL is to find wrong about the regular expressions that an expression
// writes out, without compiling what newMatcher refuses unread.
type patterns struct{}

// Name implements cel.ASTValidator.
func (patterns) Name() string { return "amends.patterns" }

// Validate implements cel.ASTValidator.
func (patterns) Validate(_ *cel.Env, _ cel.ValidatorConfig, tree *ast.AST, issues *cel.Issues) {
	for _, call := range ast.MatchDescendants(ast.NavigateAST(tree), ast.FunctionMatcher(overloads.Matches)) {
		args := call.AsCall().Args()
		if len(args) == 0 || args[len(args)-1].Kind() != ast.LiteralKind {
			continue
		}
		pattern := args[len(args)-1]
		text, ok := pattern.AsLiteral().(types.String)
		if !ok || len(text) > maxPattern || readingCost(string(text)) > maxCost {
			continue
		}
		if _, err := syntax.Parse(string(text), syntax.Perl); err != nil {
			issues.ReportErrorAtID(pattern.ID(), "invalid %s argument", overloads.Matches)
		}
	}
}

// Exec implements interpreter.InterpretableV2.
func (n *matcher) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	texts, otherwise := textsOf(n, frame)
	if otherwise != nil {
		return otherwise
	}
	p := n.constant
	if p == nil {
		pay(frame, n.ID(), min(len(texts[1]), maxPattern)+2*maxRegex+readingCost(string(texts[1])))
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
