package mapping

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/amends-dev/amends/saga/internal/quote"
	"github.com/amends-dev/amends/saga/internal/schema"
)

// fault says why a mapping could not be evaluated. The set of faults is closed, and their texts
// contain no data, because a fault is logged and shown to more people than the data.
type fault string

const (
	faultMissing    fault = "is missing; guard it with has(%[1]s)"
	faultLack       fault = "is missing"
	faultNoResult   fault = "is missing: the step was skipped, or returned no result; guard it with has(%[1]s)"
	faultKey        fault = "there is no such key, field or index; guard it with has(), in or .?"
	faultType       fault = "a value has a type that is not allowed here"
	faultConversion fault = "a value cannot be converted, or is out of range"
	faultRange      fault = "a number is out of range, or is divided by zero"
	faultTime       fault = "a value is not a timestamp or duration such as 2006-01-02T15:04:05Z or 90s, or is out of range"
	faultRegex      fault = "a regular expression is not valid, or is too large"
	faultNone       fault = "an optional value is missing; end it with .orValue(…)"
	faultBuild      fault = "a list or map cannot be created: a key is given twice, or ? is used with a value that is not optional"
	faultInteger    fault = schema.NotInteger
	faultNumber     fault = schema.OutOfRange
	faultForm       fault = "the value cannot be represented in JSON; convert it, for example with string()"
	faultMapKey     fault = "a map key is not a string, or two keys are the same in JSON; use strings as keys"
	faultLong       fault = "the request is too long; pass less on, or a reference to it"
	faultCost       fault = "the evaluation exceeds its cost limit; pass less data on, or move the work into the participant"
	faultInternal   fault = "it cannot be evaluated"
)

// dataFault is a fault of the data, with the path of the faulty value.
type dataFault struct {
	where string // path of schema names, with [] in place of map keys and indices; "" if unknown
	fault fault
	full  string // description that quotes the data; only for Try
}

func (e *dataFault) Error() string {
	text := string(e.fault)
	if strings.Contains(text, "%") {
		text = fmt.Sprintf(text, e.where)
	}
	return saidOf(e.where, text)
}

// at sets the path of the data at fault.
func (e *dataFault) at(where string) *dataFault {
	e.where = where
	return e
}

// saidOf prefixes a text with the path that it is about.
func saidOf(where, text string) string {
	switch {
	case where == "":
		return text
	case strings.HasPrefix(text, "is "):
		return where + " " + text
	}
	return where + ": " + text
}

// faulty returns a data fault as a CEL value.
func faulty(where string, f fault, full string, args ...any) ref.Val {
	return types.WrapErr(&dataFault{where: where, fault: f, full: fmt.Sprintf(full, args...)})
}

// mappingError says why a mapping failed: the expression, the position in it, and the fault.
type mappingError struct {
	expression   string
	line, column int // from 1; 0 if unknown
	fault        error
	full         error // CEL's error, which quotes the data; only for Try
}

func (e *mappingError) Error() string { return e.text(e.fault) }

// whole returns the error with CEL's text, which quotes the data.
func (e *mappingError) whole() error { return errors.New(e.text(e.full)) }

func (e *mappingError) text(why error) string {
	at := ""
	if e.line > 0 {
		at = fmt.Sprintf("line %d, column %d: ", e.line, e.column)
	}
	return fmt.Sprintf("evaluate %s: %s%v", quote.Short(e.expression), at, why)
}

// failed returns the error for a failed evaluation.
func (m *Mapping) failed(err error) *mappingError {
	e := &mappingError{expression: m.expression, full: err}
	value, isValue := errors.AsType[*types.Err](err)
	var node ast.Expr
	if isValue {
		if node = find(m.tree.Expr(), value.NodeID()); node != nil {
			if at := m.tree.SourceInfo().GetStartLocation(node.ID()); at.Line() > 0 {
				e.line, e.column = at.Line(), at.Column()+1
			}
		}
	}
	data, isData := errors.AsType[*dataFault](err)
	cancelled, isCancelled := errors.AsType[interpreter.EvalCancelledError](err)
	switch {
	case isData:
		e.fault = data
		if e.full = data; data.full != "" {
			e.full = errors.New(saidOf(data.where, data.full))
		}
	case isCancelled && cancelled.Cause == interpreter.CostLimitExceeded:
		e.fault = &dataFault{fault: faultCost}
	case isValue:
		e.fault = &dataFault{fault: faultOf(node)}
	default:
		e.fault = &dataFault{fault: faultInternal}
	}
	return e
}

// find returns the node with the given id in an expression, or nil.
func find(root ast.Expr, id int64) (found ast.Expr) {
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id {
			found = e
		}
	}))
	return found
}

// faultOf returns the fault that the data can cause at a node. It replaces CEL's own error, which
// quotes the data.
func faultOf(node ast.Expr) fault {
	if node == nil {
		return faultType
	}
	switch node.Kind() {
	case ast.SelectKind:
		return faultKey
	case ast.ListKind, ast.MapKind:
		return faultBuild
	case ast.CallKind:
		if f, ok := faultsOf[node.AsCall().FunctionName()]; ok {
			return f
		}
	}
	return faultType
}

// faultsOf holds the faults of CEL's functions. The fault of any other function is faultType.
var faultsOf = map[string]fault{
	operators.Index:     faultKey,
	operators.OptIndex:  faultKey,
	operators.OptSelect: faultKey,

	operators.Add:      faultRange,
	operators.Subtract: faultRange,
	operators.Multiply: faultRange,
	operators.Divide:   faultRange,
	operators.Modulo:   faultRange,
	operators.Negate:   faultRange,

	overloads.TypeConvertInt:       faultConversion,
	overloads.TypeConvertUint:      faultConversion,
	overloads.TypeConvertDouble:    faultConversion,
	overloads.TypeConvertBool:      faultConversion,
	overloads.TypeConvertString:    faultConversion,
	overloads.TypeConvertBytes:     faultConversion,
	overloads.TypeConvertTimestamp: faultTime,
	overloads.TypeConvertDuration:  faultTime,

	"value": faultNone,
}

// setUpErrors labels the errors that CEL shares between all evaluations. It runs before the first
// evaluation. Otherwise, the first evaluation that returns such an error would write its own
// position into the error. All other evaluations would report that position (I6), or write their
// own position concurrently.
func setUpErrors() {
	types.LabelErrNode(nowhere, types.NoSuchOverloadErr())
	types.LabelErrNode(nowhere, types.Int(math.MaxInt64).ConvertToType(types.TimestampType))
}

// nowhere is an id that no node has.
const nowhere = -1
