package mapping

import (
	"encoding/json"
	"math"
	"strconv"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/containers"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// A number that is only copied keeps the text that it has in the data. CEL calculates with plain
// values, which do not keep that text. Functions and operators receive plain values, unless they
// return an argument unchanged.

// written is a number of the data whose text differs from the encoding of its plain value. It keeps
// that text.
type written struct {
	ref.Val // the plain value; an error if CEL cannot represent the number
	text    json.Number
}

// withText returns a number of the data as a value that keeps the number's text.
func withText(plain ref.Val, text json.Number) ref.Val {
	same := false
	switch v := plain.(type) {
	case types.Int:
		same = text != "-0"
	case types.Uint:
		same = true
	case types.Double:
		abs := math.Abs(float64(v))
		same = (v == 0 || abs >= 1e-6 && abs < 1e21) && // outside this range encoding/json writes an exponent
			strconv.FormatFloat(float64(v), 'f', -1, 64) == string(text)
	}
	if same {
		return plain
	}
	return &written{plain, text}
}

// Type implements ref.Val.
func (w *written) Type() ref.Type {
	if !types.IsError(w.Val) {
		return w.Val.Type()
	}
	if isDouble(w.text) {
		return types.DoubleType
	}
	return types.IntType
}

// IsZeroValue implements traits.Zeroer.
func (w *written) IsZeroValue() bool {
	z, ok := w.Val.(traits.Zeroer)
	return ok && z.IsZeroValue()
}

// AggregateSize implements types.AggregateSizeVisitor. The plain value has the same size.
func (w *written) AggregateSize(types.AggregateSizer) uint32 { return 1 }

// depth defines which numbers in a value are replaced with plain values.
type depth byte

const (
	handedOn depth = iota // nothing
	shallow               // the value itself, if it is a number
	deep                  // all numbers in the value
	members               // like deep, but nothing in a map, because only its keys are used
)

// depths holds, for each function, the depth of the first argument and the depth of all others. The
// arguments of a function that is not listed are shallow.
var depths = map[string][2]depth{
	operators.Equals:       {deep, deep},
	operators.NotEquals:    {deep, deep},
	operators.In:           {deep, members},
	operators.OldIn:        {deep, members},
	overloads.DeprecatedIn: {deep, members},

	operators.Add: {shallow, shallow}, // a sum of lists has the same items

	operators.Conditional: {}, // the third argument is treated as the second
	operators.Index:       {}, // attribute.index makes an index plain
	operators.OptIndex:    {},
	operators.OptSelect:   {},

	overloads.TypeConvertDyn:  {},
	overloads.Size:            {},
	"optional.of":             {},
	"optional.ofNonZeroValue": {},
	"optional.unwrap":         {},
	"unwrapOpt":               {},
	"value":                   {},
	"hasValue":                {},
	"or":                      {},
	"orValue":                 {},
	"first":                   {},
	"last":                    {},
}

// depthOf returns the depth of an argument of a function.
func depthOf(function string, argument int) depth {
	if of, ok := depths[function]; ok {
		return of[min(argument, 1)]
	}
	return shallow
}

// holdsNumber reports whether a value of type t may be or contain a number that must be made plain.
func (d depth) holdsNumber(t *types.Type) bool {
	if t == nil {
		return true
	}
	switch t.Kind() {
	case types.BoolKind, types.StringKind, types.BytesKind, types.TimestampKind, types.DurationKind, types.NullTypeKind, types.TypeKind,
		types.StructKind: // objects are compared by their plain values
		return false
	case types.ListKind, types.MapKind, types.OpaqueKind:
		for _, of := range t.Parameters() {
			if d != shallow && d.holdsNumber(of) {
				return true
			}
		}
		return false
	}
	return true
}

// reading describes how the values of an expression's nodes are used, by node id.
type reading struct {
	plain map[int64]depth // nodes whose plain value is used
	tests map[int64]bool  // selections that are the argument of has()
}

func readingOf(tree *ast.AST) *reading {
	r := &reading{map[int64]depth{}, map[int64]bool{}}
	take := func(e ast.Expr, d depth) {
		if d != handedOn && d.holdsNumber(tree.GetType(e.ID())) {
			r.plain[e.ID()] = d
		}
	}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.CallKind:
			call := e.AsCall()
			args := call.Args()
			if call.IsMemberFunction() {
				args = append([]ast.Expr{call.Target()}, args...)
			}
			for i, arg := range args {
				take(arg, depthOf(call.FunctionName(), i))
			}
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				take(entry.AsMapEntry().Key(), shallow)
			}
		case ast.SelectKind:
			if e.AsSelect().IsTestOnly() {
				r.tests[e.ID()] = true
			}
		}
	}))
	return r
}

// decorate wraps a node, so that its work is charged (see price) and its value is used as r
// describes.
func (r *reading) decorate(node interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	node, err := price(node)
	if err != nil {
		return nil, err
	}
	switch n := node.(type) {
	case *attribute: // wrapped before; a qualifier was added since, and with it a different id
		n.take = r.plain[n.ID()]
		return n, nil
	case interpreter.InterpretableAttribute:
		return &attribute{n, r, r.plain[n.ID()]}, nil
	case interpreter.InterpretableConst:
		return n, nil
	}
	if take := r.plain[node.ID()]; take != handedOn {
		return plainer{node, take}, nil
	}
	return node, nil
}

// plainer returns the plain value of a node.
type plainer struct {
	interpreter.InterpretableV2

	take depth
}

// Exec implements interpreter.InterpretableV2.
func (n plainer) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	return n.take.of(n.InterpretableV2.Exec(frame), n.ID())
}

// Eval implements interpreter.Interpretable.
func (n plainer) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, n.Exec)
}

// attribute is a variable with its selections and indices.
type attribute struct {
	interpreter.InterpretableAttribute

	reading *reading
	take    depth
}

// Exec implements interpreter.InterpretableV2.
func (a *attribute) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	return a.take.of(a.InterpretableAttribute.Exec(frame), a.ID())
}

// Eval implements interpreter.Interpretable.
func (a *attribute) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, a.Exec)
}

// AddQualifier implements interpreter.InterpretableAttribute.
func (a *attribute) AddQualifier(q interpreter.Qualifier) (interpreter.Attribute, error) {
	return a.InterpretableAttribute.AddQualifier(qualifier{q, a.reading.tests[q.ID()]})
}

// Qualify implements interpreter.Qualifier, for an attribute that is used as an index.
func (a *attribute) Qualify(vars interpreter.Activation, obj any) (any, error) {
	index, err := a.index(vars)
	if err != nil {
		return nil, err
	}
	return index.Qualify(vars, obj)
}

// QualifyIfPresent implements interpreter.Qualifier.
func (a *attribute) QualifyIfPresent(vars interpreter.Activation, obj any, presenceOnly bool) (any, bool, error) {
	index, err := a.index(vars)
	if err != nil {
		return nil, false, err
	}
	return index.QualifyIfPresent(vars, obj, presenceOnly)
}

// index returns the attribute's plain value as an index.
func (a *attribute) index(vars interpreter.Activation) (interpreter.Qualifier, error) {
	v, err := a.Resolve(vars)
	if err != nil {
		return nil, err
	}
	if n, ok := v.(*written); ok {
		if failed, ok := n.Val.(*types.Err); ok {
			return nil, failed
		}
		v = n.Val
	}
	return indices.NewQualifier(nil, a.ID(), v, a.IsOptional())
}

// indices creates qualifiers from values.
var indices = interpreter.NewAttributeFactory(containers.DefaultContainer, types.DefaultTypeAdapter, nil)

// of returns v with plain values, as d requires. id is the id of the node whose output v is.
func (d depth) of(v ref.Val, id int64) ref.Val {
	if d == handedOn {
		return v
	}
	if _, is := v.(traits.Mapper); is && d == members {
		return v
	}
	if n, ok := v.(*written); ok {
		v = n.Val
	} else if d != shallow {
		v, _ = deeplyPlain(v)
	}
	return types.LabelErrNode(id, v)
}

// deeplyPlain returns v with plain values for all numbers in v, and reports whether the result
// differs from v.
func deeplyPlain(v ref.Val) (plain ref.Val, changed bool) {
	switch v := v.(type) {
	case *written:
		return v.Val, true
	case *types.Optional:
		if !v.HasValue() {
			return v, false
		}
		if within, changed := deeplyPlain(v.GetValue()); types.IsError(within) {
			return within, true
		} else if changed {
			return types.OptionalOf(within), true
		}
	case traits.Lister:
		return plainList(v)
	case *sortedMap:
		return plainMap(v)
	}
	return v, false
}

func plainList(l traits.Lister) (ref.Val, bool) {
	var items []ref.Val // nil until an item has changed
	i := 0
	for it := l.Iterator(); it.HasNext() == types.True; i++ {
		item, changed := deeplyPlain(it.Next())
		switch {
		case types.IsError(item):
			return item, true
		case items == nil && changed:
			size, _ := l.Size().(types.Int)
			items = make([]ref.Val, 0, size)
			for k := range i {
				items = append(items, l.Get(types.Int(k)))
			}
		}
		if items != nil {
			items = append(items, item)
		}
	}
	if items == nil {
		return l, false
	}
	return types.NewRefValList(types.DefaultTypeAdapter, items), true
}

func plainMap(m *sortedMap) (ref.Val, bool) {
	if m.plain == nil {
		m.plain = m.makePlain()
	}
	return m.plain, m.plain != ref.Val(m)
}

// makePlain returns the map with plain values, or m itself if all are plain.
func (m *sortedMap) makePlain() ref.Val {
	var values map[ref.Val]ref.Val // nil until a value has changed
	for i, key := range m.keys {
		value, changed := deeplyPlain(m.Get(key))
		switch {
		case types.IsError(value):
			return value
		case values == nil && changed:
			values = make(map[ref.Val]ref.Val, len(m.keys))
			for _, before := range m.keys[:i] {
				values[before] = m.Get(before)
			}
		}
		if values != nil {
			values[key] = value
		}
	}
	if values == nil {
		return m
	}
	return &sortedMap{Mapper: types.NewRefValMap(types.DefaultTypeAdapter, values), keys: m.keys}
}
