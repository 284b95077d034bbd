package mapping

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
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// matcher matches a regular expression. The cost depends on the size of the compiled expression.
type matcher struct {
	interpreter.InterpretableCall

	constant *pattern // nil if the pattern is data
}

// pattern is a compiled regular expression.
type pattern struct {
	re   *regexp.Regexp
	size int // number of instructions
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
		return nil, fmt.Errorf("invalid regular expression: %w", err)
	}
	return m, nil
}

func compile(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("it is %d bytes long; at most %d are allowed", len(text), maxPattern)
	}
	if readingCost(text) > maxCost {
		return nil, errors.New("it has too many Unicode classes (\\p{…}) or, with the flag i, too many or too large character ranges")
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if n := instructions(parsed); n > maxRegex {
		return nil, fmt.Errorf("it compiles to at least %d instructions; at most %d are allowed", n, maxRegex)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxRegex {
		return nil, fmt.Errorf("it compiles to %d instructions; at most %d are allowed", len(program.Inst), maxRegex)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{re, len(program.Inst)}, nil
}

// readingCost returns the maximum cost of parsing the classes of a regular expression. The cost is
// not proportional to the length of the text: a Unicode class is looked up in tables, and if case
// is ignored, each character of a range is looked up.
func readingCost(text string) int {
	if len(text) > maxPattern {
		return 0 // such a text is not parsed
	}
	const (
		table    = 1500    // units for each \p or \P
		perUnit  = 2       // characters per unit
		lastCase = 0x1e943 // no later character has a case
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

// flags matches a flag group that may make a regular expression ignore case.
var flags = regexp.MustCompile(`\(\?[A-Za-z]*i`)

func ignoresCase(text string) bool { return flags.MatchString(text) }

// rangeEnd returns an upper bound for the character that ends a range.
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
		return 0 // not a valid regular expression
	}
	return 0o777 // an upper bound for all other escapes, such as \x7f, \377 and \n
}

// instructions returns a lower bound for the number of compiled instructions. The compiler expands
// repetitions, so a short text may have many instructions.
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

// patterns validates the regular expressions that a mapping contains as literals. It does not parse
// a text that newMatcher refuses without parsing.
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
