package mapping

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/quote"
	"github.com/amends-dev/amends/saga/internal/schema"
)

// Limits of expressions (I10). A definition that exceeds one is refused.
const (
	// MaxExpression bounds the length of one CEL expression, in bytes.
	MaxExpression = 16 << 10
	// MaxExpressions bounds the total length of the CEL expressions of one definition, in bytes.
	// Checking them is the most expensive part of checking a definition.
	MaxExpressions = 64 << 10
)

// Problem describes one problem of a mapping.
type Problem struct {
	What string // what is wrong
	Fix  string // how to fix it
}

// Step holds the parts of a step that mappings need.
type Step struct {
	Name    contract.StepName
	With    string         // mapping of the step, or empty
	Request *schema.Schema // schema of the request that its command accepts; nil means anything
	Result  *schema.Schema // schema of the result that its command returns; nil means anything
}

// Compiler compiles the mappings of one definition, and checks that their output matches the
// requests of the commands. It creates the CEL environment for the first mapping, so that a
// definition without mappings never uses CEL.
type Compiler struct {
	input  *schema.Schema
	steps  []Step
	before [][]bool
	env    *cel.Env
	types  *objectTypes
	names  []contract.StepName
}

// NewCompiler returns a Compiler for a definition's input and steps. before[i][k] reports whether
// step k is certainly done when step i begins. before[i] is nil if step i is not in the tree.
func NewCompiler(input *schema.Schema, steps []Step, before [][]bool) *Compiler {
	return &Compiler{input: input, steps: steps, before: before}
}

func (c *Compiler) prepare() error {
	if c.env != nil {
		return nil
	}
	c.types = &objectTypes{
		schemas: map[string]*schema.Schema{}, results: map[string]*schema.Schema{}, numbers: map[string]int{}}
	for i, s := range c.steps {
		name := celName(s.Name)
		c.names = append(c.names, s.Name)
		if _, twice := c.types.numbers[name]; !twice {
			c.types.numbers[name], c.types.results[name] = i, s.Result
		}
	}
	c.types.learn(c.input, "input")
	for name, result := range c.types.results {
		c.types.learn(result, "result."+name)
	}
	env, err := mappingEnv(c.types, c.input)
	c.env = env
	return err
}

// Compile compiles the mapping of step i. notes are warnings that do not prevent the use of the
// mapping.
func (c *Compiler) Compile(i int) (m *Mapping, problems, notes []Problem) {
	if err := c.prepare(); err != nil {
		return nil, []Problem{{What: "the expression language cannot be set up: " + err.Error(), Fix: "report this as a bug"}}, nil
	}
	step := &c.steps[i]
	parsed, issues := c.env.Parse(step.With)
	if issues.Err() != nil {
		return nil, c.issues(issues, nil), nil
	}
	use := &usage{Compiler: c, step: i}
	use.walk(parsed.NativeRep().Expr())
	checked, issues := c.env.Check(parsed)
	if issues.Err() != nil {
		return nil, slices.Concat(use.problems, c.issues(issues, parsed.NativeRep().Expr()), c.apart(step.Request, parsed.NativeRep())), nil
	}
	tree := checked.NativeRep()
	read := readingOf(tree)
	program, err := c.env.Program(checked, programOptions(read, maxCost)...)
	var quick cel.Program
	if err == nil {
		quick, err = c.env.Program(checked, programOptions(read, quickCost)...)
	}
	if err != nil {
		return nil, append(use.problems, Problem{
			What: "the expression cannot be compiled: " + quote.Short(err.Error()), Fix: "simplify it"}), nil
	}
	guard := &guard{ast: tree, types: c.types}
	guard.walk(tree.Expr(), nil)
	fit := &fitter{ast: tree, types: c.types}
	fit.expr(step.Request, tree.Expr(), "")
	least, dear, notes := c.estimate(checked)
	m = &Mapping{
		least: least, reads: use.reads,
		expression: step.With, program: program, quick: quick, tree: tree, types: c.types, input: c.input}
	return m, slices.Concat(use.problems, guard.problems, fit.problems, dear), notes
}

// apart finds further problems of a mapping that does not compile: missing and unknown fields, and
// values that compile alone but have the wrong type.
func (c *Compiler) apart(want *schema.Schema, parsed *ast.AST) []Problem {
	root := parsed.Expr()
	if want.IsAny() || want.Kind != schema.Object || root.Kind() != ast.MapKind {
		return nil
	}
	fit := &fitter{ast: parsed, types: c.types} // nothing has a type yet, so this checks only the fields
	fit.object(want, root.AsMap(), "")
	for _, e := range root.AsMap().Entries() {
		entry := e.AsMapEntry()
		name, ok := literalString(entry.Key())
		if !ok || entry.IsOptional() || want.Fields[name] == nil {
			continue
		}
		text, err := cel.ExprToString(entry.Value(), parsed.SourceInfo())
		if err != nil {
			continue
		}
		alone, issues := c.env.Compile(text)
		if issues.Err() != nil {
			continue // already among the issues of the whole expression
		}
		one := &fitter{ast: alone.NativeRep(), types: c.types}
		one.expr(want.Fields[name], alone.NativeRep().Expr(), name)
		for _, p := range one.problems {
			if !slices.Contains(fit.problems, p) {
				fit.problems = append(fit.problems, p)
			}
		}
	}
	return fit.problems
}

// issues converts CEL's issues to problems.
func (c *Compiler) issues(issues *cel.Issues, root ast.Expr) []Problem {
	var problems []Problem
	for _, issue := range issues.Errors() {
		if len(problems) == maxExpressionErrors {
			break
		}
		what := fmt.Sprintf("line %d, column %d: %s", issue.Location.Line(), issue.Location.Column()+1, quote.Line(issue.Message))
		if issue.Location.Line() < 1 {
			what = quote.Line(issue.Message)
		}
		problems = append(problems, Problem{What: what, Fix: c.fix(issue.Message, issue.ExprID, root)})
	}
	return problems
}

// fix returns a suggestion for an issue of CEL.
func (c *Compiler) fix(message string, id int64, root ast.Expr) string {
	switch {
	case strings.Contains(message, "undefined field") && root != nil:
		if fields := c.siblings(root, id); len(fields) > 0 {
			return "there is " + strings.Join(fields, ", ")
		}
		return "name a field that the data has"
	case strings.Contains(message, "undeclared reference"):
		return "there is input, and result with one field for each step (hyphens as underscores)"
	case strings.Contains(message, "found no matching overload"):
		return "convert the values, for example with string(), int() or double()"
	case strings.Contains(message, "recursion") || strings.Contains(message, "limit"):
		return "simplify it, or move the work into the participant"
	}
	return "see the CEL language definition at https://cel.dev"
}

// siblings returns the fields of the object from which the selection with the given id selects an
// unknown field.
func (c *Compiler) siblings(root ast.Expr, id int64) []string {
	var fields []string
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id && e.Kind() == ast.SelectKind {
			chain, ok := chainOf(e.AsSelect().Operand())
			if !ok {
				return
			}
			if chain == "result" {
				fields = sortedKeys(c.types.results)
			} else if s := c.types.schemas["object "+chain]; s != nil {
				fields = sortedKeys(s.Fields)
			}
		}
	}))
	const most = 20
	if len(fields) > most {
		fields = append(fields[:most:most], "…")
	}
	return fields
}

// chainOf returns a selection as it is written, such as input.address.city.
func chainOf(e ast.Expr) (string, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), true
	case ast.SelectKind:
		chain, ok := chainOf(e.AsSelect().Operand())
		return chain + "." + e.AsSelect().FieldName(), ok
	}
	return "", false
}
