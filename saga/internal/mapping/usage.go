package mapping

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// usage checks whether a mapping uses results that may not exist yet.
type usage struct {
	*Compiler
	step     int   // the step with the mapping
	reads    []int // the steps whose results the mapping uses
	problems []Problem
}

func (u *usage) add(what, fix string) {
	p := Problem{What: what, Fix: fix}
	if slices.Contains(u.problems, p) {
		return
	}
	u.problems = append(u.problems, p)
}

func (u *usage) walk(e ast.Expr) {
	if name, ok := resultName(e); ok {
		u.result(name)
		return
	}
	switch {
	case e.Kind() == ast.IdentKind && e.AsIdent() == "result":
		u.add("uses result as a whole", "name the step: "+u.examples())
	case e.Kind() == ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, name := range []string{c.IterVar(), c.IterVar2()} {
			if name == "input" || name == "result" {
				u.add(fmt.Sprintf("declares a variable with the name %s", name), "give it another name")
			}
		}
	}
	forChildren(e, u.walk)
}

// resultName returns the step name in result.step or result.?step.
func resultName(e ast.Expr) (string, bool) {
	isResult := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "result" }
	switch e.Kind() {
	case ast.SelectKind:
		return e.AsSelect().FieldName(), isResult(e.AsSelect().Operand())
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() == operators.OptSelect && len(call.Args()) == 2 && isResult(call.Args()[0]) &&
			call.Args()[1].Kind() == ast.LiteralKind {
			name, ok := call.Args()[1].AsLiteral().(types.String)
			return string(name), ok
		}
	}
	return "", false
}

// result checks that the named step is certainly done before this step begins.
func (u *usage) result(name string) {
	other, known := u.types.numbers[name]
	if known && !slices.Contains(u.reads, other) {
		u.reads = append(u.reads, other)
	}
	if !known || u.before[u.step][other] {
		return // CEL reports unknown names
	}
	switch {
	case other == u.step:
		u.add(fmt.Sprintf("uses the step's own result (result.%s)", name), "use input, or "+u.examples())
	case u.before[other] == nil:
	case u.before[other][u.step]:
		u.add(fmt.Sprintf("uses result.%s, but step %s comes later", name, u.names[other]),
			"move the step before this one, or use "+u.examples())
	default:
		u.add(fmt.Sprintf("uses result.%s, but step %s runs beside this one in the same parallel", name, u.names[other]),
			"it may not be done by then: put both into a sequence, or use "+u.examples())
	}
}

// examples lists results that the mapping may use.
func (u *usage) examples() string {
	var names []string
	for i, done := range u.before[u.step] {
		if done {
			names = append(names, "result."+celName(u.names[i]))
		}
	}
	const most = 5
	switch {
	case len(names) == 0:
		return "input alone: no step is done before this one"
	case len(names) > most:
		names = append(names[:most:most], "…")
	}
	return strings.Join(names, ", ")
}

// forChildren calls f for every direct child of e.
func forChildren(e ast.Expr, f func(ast.Expr)) {
	switch e.Kind() {
	case ast.SelectKind:
		f(e.AsSelect().Operand())
	case ast.CallKind:
		if e.AsCall().IsMemberFunction() {
			f(e.AsCall().Target())
		}
		for _, arg := range e.AsCall().Args() {
			f(arg)
		}
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			f(element)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			f(entry.AsMapEntry().Key())
			f(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		for _, field := range e.AsStruct().Fields() {
			f(field.AsStructField().Value())
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, part := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			f(part)
		}
	}
}
