package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/amends-dev/amends/saga/internal/quote"
	"github.com/amends-dev/amends/saga/internal/schema"
)

// fitter checks that the output of an expression matches a schema: field by field where the
// expression contains an object literal, and otherwise by type.
type fitter struct {
	ast      *ast.AST
	types    *objectTypes
	problems []Problem
}

func (f *fitter) add(what, fix string) {
	f.problems = append(f.problems, Problem{What: what, Fix: fix})
}

// expr checks e against want. field is the path of the value in the request, empty for the whole
// request.
func (f *fitter) expr(want *schema.Schema, e ast.Expr, field string) {
	if want.IsAny() {
		return
	}
	switch {
	case e.Kind() == ast.MapKind && want.Kind == schema.Object:
		f.object(want, e.AsMap(), field)
	case e.Kind() == ast.MapKind && want.Kind == schema.Map:
		for _, entry := range e.AsMap().Entries() {
			f.entry(want.Items, entry.AsMapEntry(), field+"[]")
		}
	case e.Kind() == ast.ListKind && want.Kind == schema.List:
		for i, element := range e.AsList().Elements() {
			if e.AsList().IsOptional(int32(i)) {
				f.typ(want.Items, optionalOf(f.ast.GetType(element.ID())), field+"[]")
				continue
			}
			f.expr(want.Items, element, field+"[]")
		}
	case isCall(e, operators.Conditional):
		f.expr(want, e.AsCall().Args()[1], field)
		f.expr(want, e.AsCall().Args()[2], field)
	case e.Kind() == ast.ComprehensionKind && want.Kind == schema.List:
		if element := mapped(e.AsComprehension()); element != nil {
			f.expr(want.Items, element, field+"[]")
			return
		}
		f.typ(want, f.ast.GetType(e.ID()), field)
	default:
		f.typ(want, f.ast.GetType(e.ID()), field)
	}
}

// object checks a map literal against the fields of an object.
func (f *fitter) object(want *schema.Schema, m ast.MapExpr, field string) {
	seen := map[string]bool{}
	open := false
	for _, e := range m.Entries() {
		entry := e.AsMapEntry()
		name, ok := literalString(entry.Key())
		if !ok {
			open = true
			f.add(fmt.Sprintf("%s has a key that is not written out", where(field)),
				"write the names of the fields as strings, so that they can be checked")
			continue
		}
		own := strings.TrimPrefix(field+"."+name, ".")
		if seen[name] {
			f.add(fmt.Sprintf("%s is given twice", where(own)), "keep one")
		}
		seen[name] = true
		its := want.Fields[name]
		if its == nil {
			f.add(fmt.Sprintf("%s is not known to the command", where(own)),
				"it would be dropped silently; "+known(want))
			continue
		}
		f.entry(its, entry, own)
	}
	for _, name := range sortedKeys(want.Fields) {
		if its := want.Fields[name]; !seen[name] && !its.Optional && !open {
			f.add(fmt.Sprintf("%s (%s) is missing", where(strings.TrimPrefix(field+"."+name, ".")), its.Word()), "the command needs it: add it")
		}
	}
}

// entry checks the value of a key. {?"note": input.?note} omits the field if there is no value, so
// the field must be optional.
func (f *fitter) entry(want *schema.Schema, entry ast.MapEntry, field string) {
	if !entry.IsOptional() {
		f.expr(want, entry.Value(), field)
		return
	}
	if want != nil && !want.Optional {
		f.add(fmt.Sprintf("%s may be left out, but the command needs it", where(field)),
			"write it without ? and end the value with .orValue(…)")
	}
	f.typ(want, optionalOf(f.ast.GetType(entry.Value().ID())), field)
}

// typ checks a value of type t against want.
func (f *fitter) typ(want *schema.Schema, t *types.Type, field string) {
	if want.IsAny() {
		return
	}
	fix := "convert it, or pass another value"
	switch t.Kind() {
	case types.DynKind, types.AnyKind, types.TypeParamKind, types.ErrorKind:
		return
	case types.NullTypeKind:
		if want.Optional || want.CanBeEmpty() {
			return
		}
	case types.StructKind:
		if s := f.types.schemas[t.TypeName()]; s != nil {
			for _, p := range fitSchema(want, s, field) {
				f.add(p.What, p.Fix)
			}
			return
		}
	case types.ListKind:
		if want.Kind == schema.List {
			f.typ(want.Items, t.Parameters()[0], field+"[]")
			return
		}
	case types.MapKind:
		if want.Kind == schema.Map {
			f.typ(want.Items, t.Parameters()[1], field+"[]")
			return
		}
		fix = "write the fields out: {\"name\": value, …}"
	case types.OpaqueKind:
		fix = "end it with .orValue(…), or write the key with a ? in front"
	default:
		if primitiveFits[t.Kind()][want.Kind] {
			return
		}
		fix = fmt.Sprintf("convert it, for example with %s()", conversion(want))
	}
	f.add(fmt.Sprintf("%s is of type %s, but the command takes %s", where(field), strings.TrimSuffix(t.String(), "_type"), want.Word()), fix)
}

// primitiveFits holds, for each primitive CEL type, the schema kinds that it matches.
var primitiveFits = map[types.Kind]map[schema.Kind]bool{
	types.BoolKind:      {schema.Bool: true},
	types.IntKind:       {schema.Int: true, schema.Double: true},
	types.UintKind:      {schema.Int: true, schema.Double: true},
	types.DoubleKind:    {schema.Double: true},
	types.StringKind:    {schema.String: true, schema.Time: true, schema.Bytes: true},
	types.BytesKind:     {schema.Bytes: true, schema.String: true},
	types.TimestampKind: {schema.Time: true, schema.String: true},
}

// Fit checks that data with the schema have, passed on unchanged, matches the schema want.
func Fit(want, have *schema.Schema) []Problem { return fitSchema(want, have, "") }

// fitSchema checks that data with the schema have matches the schema want.
func fitSchema(want, have *schema.Schema, field string) []Problem {
	if want.IsAny() || have.IsAny() {
		return nil
	}
	if have.Optional && !want.Optional && field != "" && !have.CanBeEmpty() {
		return []Problem{{What: fmt.Sprintf("%s may be missing, but the command needs it", where(field)),
			Fix: "make it optional in the command's request, or always provide it"}}
	}
	switch {
	case want.Kind == schema.Object && have.Kind == schema.Object:
		return fitFields(want, have, field)
	case want.Kind == schema.Map && have.Kind == schema.Object:
		var problems []Problem
		for _, name := range sortedKeys(have.Fields) {
			problems = append(problems, fitSchema(want.Items, have.Fields[name], field+"."+name)...)
		}
		return problems
	case want.Kind == have.Kind && (want.Kind == schema.List || want.Kind == schema.Map):
		return fitSchema(want.Items, have.Items, field+"[]")
	case want.Kind == have.Kind, kindFits[have.Kind][want.Kind]:
		return nil
	}
	return []Problem{{What: fmt.Sprintf("%s is %s, but the command takes %s", where(field), have.Word(), want.Word()),
		Fix: "pass another value"}}
}

var kindFits = map[schema.Kind]map[schema.Kind]bool{
	schema.Int:    {schema.Double: true},
	schema.String: {schema.Time: true, schema.Bytes: true},
	schema.Time:   {schema.String: true},
	schema.Bytes:  {schema.String: true},
}

func fitFields(want, have *schema.Schema, field string) []Problem {
	var problems []Problem
	for _, name := range sortedKeys(want.Fields) {
		own := strings.TrimPrefix(field+"."+name, ".")
		switch its, ok := have.Fields[name]; {
		case ok:
			problems = append(problems, fitSchema(want.Fields[name], its, own)...)
		case !want.Fields[name].Optional:
			problems = append(problems, Problem{
				What: fmt.Sprintf("%s (%s) is missing", where(own), want.Fields[name].Word()),
				Fix:  "the command needs it: write the fields out and add it"})
		}
	}
	return problems
}

// mapped returns the element that a map or filter macro appends to its list, or nil for any other
// macro.
func mapped(c ast.ComprehensionExpr) ast.Expr {
	step := c.LoopStep()
	if isCall(step, operators.Conditional) {
		step = step.AsCall().Args()[1]
	}
	if !isCall(step, operators.Add) {
		return nil
	}
	args := step.AsCall().Args()
	if args[0].Kind() != ast.IdentKind || args[0].AsIdent() != c.AccuVar() ||
		args[1].Kind() != ast.ListKind || args[1].AsList().Size() != 1 {
		return nil
	}
	return args[1].AsList().Elements()[0]
}

func isCall(e ast.Expr, function string) bool {
	return e.Kind() == ast.CallKind && e.AsCall().FunctionName() == function
}

func literalString(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// optionalOf returns the type inside an optional type, or any other type unchanged.
func optionalOf(t *types.Type) *types.Type {
	if t.Kind() == types.OpaqueKind && len(t.Parameters()) == 1 {
		return t.Parameters()[0]
	}
	return t
}

func where(field string) string {
	if field == "" {
		return "the request"
	}
	return "the field " + quote.Short(field)
}

func known(s *schema.Schema) string {
	if len(s.Fields) == 0 {
		return "the command takes no fields"
	}
	return "the command takes " + quote.Line(strings.Join(sortedKeys(s.Fields), ", "))
}

// conversion returns the CEL function that converts a value to the kind of s.
func conversion(s *schema.Schema) string {
	switch s.Kind {
	case schema.Int, schema.Double, schema.Bool:
		return string(s.Kind)
	}
	return "string"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
