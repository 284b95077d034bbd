package saga

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/quote"
)

// mappings compiles every mapping, and checks that what each step's do receives
// fits what its command takes.
func (c *checker) mappings() {
	c.compiled = make([]*mapping, len(c.steps))
	total := 0
	for _, s := range c.steps {
		total += len(s.Do.With)
	}
	if total > MaxExpressions {
		c.add("steps", fmt.Sprintf("the mappings are %d bytes long together", total),
			fmt.Sprintf("at most %d are allowed; move work into the participants", MaxExpressions))
		return
	}
	m := mapper{checker: c, before: before(&c.tree, len(c.steps))}
	for i, s := range c.steps {
		switch {
		case m.before[i] == nil: // not in the tree; that was reported
		case s.Do.With == "":
			for _, p := range fitSchema(c.sound(s.Do.Request), c.sound(c.spec.Input), "") {
				c.add(s.path+".do", "receives the saga's input as it is, but "+p.What, "map it with a CEL expression (with)")
			}
		case len(s.Do.With) <= MaxExpression:
			for _, p := range m.step(i) {
				c.add(s.path+".do.with", p.What, p.Fix)
			}
		}
	}
}

// before says for each leaf which leaves are certainly done when it begins; nil
// for what is not in the tree.
func before(root *compensation.Node, leaves int) [][]bool {
	all := make([][]bool, leaves)
	var walk func(n *compensation.Node, done []bool)
	walk = func(n *compensation.Node, done []bool) {
		if n.Shape == compensation.Leaf {
			all[n.Step] = done
			return
		}
		for i := range n.Children {
			child := &n.Children[i]
			walk(child, done)
			if n.Shape == compensation.Sequence {
				done = slices.Clone(done)
				child.Leaves(func(leaf *compensation.Node) bool { done[leaf.Step] = true; return true })
			}
		}
	}
	walk(root, make([]bool, leaves))
	return all
}

// mapper checks the mappings of one definition. Its environment is made for the
// first mapping: a definition without any never touches CEL.
type mapper struct {
	*checker
	before [][]bool
	env    *cel.Env
	types  *objectTypes
	names  []contract.StepName
}

func (m *mapper) prepare() error {
	if m.env != nil {
		return nil
	}
	m.types = &objectTypes{
		schemas: map[string]*Schema{}, results: map[string]*Schema{}, numbers: map[string]int{}}
	for i, s := range m.steps {
		name := celName(s.Name)
		m.names = append(m.names, s.Name)
		if _, twice := m.types.numbers[name]; !twice {
			m.types.numbers[name], m.types.results[name] = i, m.sound(s.Do.Result)
		}
	}
	input := m.sound(m.spec.Input)
	m.types.learn(input, "input")
	for name, result := range m.types.results {
		m.types.learn(result, "result."+name)
	}
	env, err := mappingEnv(m.types, input)
	m.env = env
	return err
}

// step compiles the mapping of step i. The problems have no path yet.
func (m *mapper) step(i int) []Problem {
	if err := m.prepare(); err != nil {
		return []Problem{{What: "the expression language cannot be set up: " + err.Error(), Fix: "report this as a bug"}}
	}
	do := &m.steps[i].Do
	parsed, issues := m.env.Parse(do.With)
	if issues.Err() != nil {
		return m.issues(issues, nil)
	}
	use := &usage{mapper: m, step: i}
	use.walk(parsed.NativeRep().Expr())
	checked, issues := m.env.Check(parsed)
	if issues.Err() != nil {
		return slices.Concat(use.problems, m.issues(issues, parsed.NativeRep().Expr()), m.apart(do, parsed.NativeRep()))
	}
	tree := checked.NativeRep()
	read := readingOf(tree)
	program, err := m.env.Program(checked, programOptions(read, maxCost)...)
	var quick cel.Program
	if err == nil {
		quick, err = m.env.Program(checked, programOptions(read, quickCost)...)
	}
	if err != nil {
		return append(use.problems, Problem{
			What: "the expression cannot be planned: " + quote.Short(err.Error()), Fix: "simplify it"})
	}
	guard := &guard{ast: tree, types: m.types}
	guard.walk(tree.Expr(), nil)
	fit := &fitter{ast: tree, types: m.types}
	fit.expr(m.sound(do.Request), tree.Expr(), "")
	least, dear, notes := m.estimate(checked)
	m.compiled[i] = &mapping{
		least: least, reads: use.reads,
		expression: do.With, program: program, quick: quick, tree: tree, types: m.types, input: m.sound(m.spec.Input)}
	for _, n := range notes {
		m.notes = append(m.notes, Problem{m.steps[i].path + ".do.with", n.What, n.Fix})
	}
	return slices.Concat(use.problems, guard.problems, fit.problems, dear)
}

// apart finds what else is wrong with a mapping that does not compile: which
// fields are missing or unknown, and whether those values that do compile alone
// are of the right type.
func (m *mapper) apart(do *Action, parsed *ast.AST) []Problem {
	want, root := m.sound(do.Request), parsed.Expr()
	if want.IsAny() || want.Kind != SchemaObject || root.Kind() != ast.MapKind {
		return nil
	}
	fit := &fitter{ast: parsed, types: m.types} // nothing has a type yet: this looks at the fields alone
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
		alone, issues := m.env.Compile(text)
		if issues.Err() != nil {
			continue // it is among the issues of the whole
		}
		one := &fitter{ast: alone.NativeRep(), types: m.types}
		one.expr(want.Fields[name], alone.NativeRep().Expr(), name)
		for _, p := range one.problems {
			if !slices.Contains(fit.problems, p) {
				fit.problems = append(fit.problems, p)
			}
		}
	}
	return fit.problems
}

// issues translates what CEL has to say.
func (m *mapper) issues(issues *cel.Issues, root ast.Expr) []Problem {
	var problems []Problem
	for _, issue := range issues.Errors() {
		if len(problems) == maxExpressionErrors {
			break
		}
		what := fmt.Sprintf("line %d, column %d: %s", issue.Location.Line(), issue.Location.Column()+1, quote.Line(issue.Message))
		if issue.Location.Line() < 1 {
			what = quote.Line(issue.Message)
		}
		problems = append(problems, Problem{What: what, Fix: m.fix(issue.Message, issue.ExprID, root)})
	}
	return problems
}

// fix says what would be right, as far as it can be seen.
func (m *mapper) fix(message string, id int64, root ast.Expr) string {
	switch {
	case strings.Contains(message, "undefined field") && root != nil:
		if fields := m.siblings(root, id); len(fields) > 0 {
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

// siblings are the fields that could have stood where the selection with the
// given id names one that does not exist.
func (m *mapper) siblings(root ast.Expr, id int64) []string {
	var fields []string
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id && e.Kind() == ast.SelectKind {
			chain, ok := chainOf(e.AsSelect().Operand())
			if !ok {
				return
			}
			if chain == "result" {
				fields = sortedKeys(m.types.results)
			} else if s := m.types.schemas["object "+chain]; s != nil {
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

// chainOf is a selection as it is written: input.address.city.
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
