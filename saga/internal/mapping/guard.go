package mapping

import (
	"fmt"
	"maps"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/amends-dev/amends/saga/internal/schema"
)

// guard finds optional fields that are read without a has() guard. Without the guard, the mapping
// would fail for the first saga in which the field is missing.
type guard struct {
	ast      *ast.AST
	types    *objectTypes
	problems []Problem
	reported map[string]bool
}

// walk checks e and its children. The fields in present are known to exist.
func (g *guard) walk(e ast.Expr, present map[string]bool) {
	switch e.Kind() {
	case ast.SelectKind:
		g.selection(e, present)
		g.walk(e.AsSelect().Operand(), present)
		return
	case ast.CallKind:
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case operators.Conditional:
			g.walk(args[0], present)
			g.walk(args[1], union(present, there(args[0])))
			g.walk(args[2], union(present, notThere(args[0])))
			return
		case operators.LogicalAnd:
			g.walk(args[0], present)
			g.walk(args[1], union(present, there(args[0])))
			return
		case operators.LogicalOr:
			g.walk(args[0], present)
			g.walk(args[1], union(present, notThere(args[0])))
			return
		}
	}
	forChildren(e, func(child ast.Expr) { g.walk(child, present) })
}

func (g *guard) selection(e ast.Expr, present map[string]bool) {
	sel := e.AsSelect()
	s := g.types.schemas[g.ast.GetType(sel.Operand().ID()).TypeName()]
	if sel.IsTestOnly() || s == nil {
		return
	}
	field := s.Fields[sel.FieldName()]
	chain, ok := chainOf(e)
	if field == nil || !field.Optional || field.CanBeEmpty() || ok && present[chain] {
		return
	}
	if !ok {
		chain = "." + sel.FieldName()
	}
	if g.reported[chain] {
		return
	}
	if g.reported == nil {
		g.reported = map[string]bool{}
	}
	g.reported[chain] = true
	fix := fmt.Sprintf("guard it: has(%[1]s) ? %[1]s : %[2]s", chain, zeroOf(field))
	if !ok {
		fix = fmt.Sprintf("read it with .?%s and end with .orValue(%s)", sel.FieldName(), zeroOf(field))
	}
	g.problems = append(g.problems, Problem{
		What: fmt.Sprintf("%s may be missing", chain),
		Fix:  fix + fmt.Sprintf("; or leave it out with {?%q: ….?%s}", sel.FieldName(), sel.FieldName())})
}

// zeroOf returns an expression that can replace a missing value.
func zeroOf(s *schema.Schema) string {
	switch s.Kind {
	case schema.String, schema.Time:
		return `""`
	case schema.Int:
		return "0"
	case schema.Double:
		return "0.0"
	case schema.Bool:
		return "false"
	}
	return "…"
}

// there returns the fields that exist if e is true.
func there(e ast.Expr) map[string]bool {
	switch e.Kind() {
	case ast.SelectKind:
		if chain, ok := chainOf(e); ok && e.AsSelect().IsTestOnly() {
			return map[string]bool{chain: true}
		}
	case ast.CallKind:
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case operators.LogicalAnd:
			return union(there(args[0]), there(args[1]))
		case operators.LogicalNot:
			return notThere(args[0])
		}
	}
	return nil
}

// notThere returns the fields that exist if e is false.
func notThere(e ast.Expr) map[string]bool {
	if e.Kind() == ast.CallKind {
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case operators.LogicalOr:
			return union(notThere(args[0]), notThere(args[1]))
		case operators.LogicalNot:
			return there(args[0])
		}
	}
	return nil
}

func union(a, b map[string]bool) map[string]bool {
	if len(b) == 0 {
		return a
	}
	both := maps.Clone(b)
	maps.Copy(both, a)
	return both
}
