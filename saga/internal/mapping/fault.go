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

// fault is why a mapping could not be evaluated: one of a closed set, in words that hold
// for all data. The data is never part of it: a reason is shown to more people than the
// data is, and in logs.
type fault string

const (
	faultMissing    fault = "is missing; guard it with has(%[1]s)"
	faultLack       fault = "is missing"
	faultNoResult   fault = "is missing: the step was skipped, or answered nothing; guard it with has(%[1]s)"
	faultKey        fault = "there is no such key, field or index; guard it with has(), in or .?"
	faultType       fault = "a value is of a type that does not go here"
	faultConversion fault = "a value cannot be converted, or is out of range"
	faultRange      fault = "a number leaves its range, or is divided by zero"
	faultTime       fault = "a value is no timestamp or duration such as 2006-01-02T15:04:05Z or 90s, or is out of range"
	faultRegex      fault = "a regular expression is not one, or is too large"
	faultNone       fault = "an optional value is not there; end it with .orValue(…)"
	faultBuild      fault = "a list or map cannot be made: a key is there twice, or ? stands before what is not optional"
	faultInteger    fault = schema.NotInteger
	faultNumber     fault = schema.OutOfRange
	faultForm       fault = "the value has no form in JSON; convert it, for example with string()"
	faultMapKey     fault = "a map key is not a string, or is one twice as JSON; use strings as keys"
	faultLong       fault = "the request is too long; pass less on, or a reference to it"
	faultCost       fault = "it costs more than an evaluation may; pass less data on, or move the work into the participant"
	faultInternal   fault = "it cannot be evaluated"
)

// dataFault is a fault of the data at a place that the definition names.
type dataFault struct {
	where string // how an expression reaches it: names of the schema, [] for keys and items; "": not known
	fault fault
	full  string // what it is, with the data; for Try alone
}

func (e *dataFault) Error() string {
	text := string(e.fault)
	if strings.Contains(text, "%") {
		text = fmt.Sprintf(text, e.where)
	}
	return saidOf(e.where, text)
}

// at says whose fault it is.
func (e *dataFault) at(where string) *dataFault {
	e.where = where
	return e
}

// saidOf says of what a text is.
func saidOf(where, text string) string {
	switch {
	case where == "":
		return text
	case strings.HasPrefix(text, "is "):
		return where + " " + text
	}
	return where + ": " + text
}

// faulty is a data fault as a value of CEL.
func faulty(where string, f fault, full string, args ...any) ref.Val {
	return types.WrapErr(&dataFault{where: where, fault: f, full: fmt.Sprintf(full, args...)})
}

// mappingError is why a mapping failed: the expression, the place in it, and the fault.
type mappingError struct {
	expression   string
	line, column int // from 1; 0: not known
	fault        error
	full         error // as CEL says it, with the data; for Try alone
}

func (e *mappingError) Error() string { return e.text(e.fault) }

// whole is the error with the data in it.
func (e *mappingError) whole() error { return errors.New(e.text(e.full)) }

func (e *mappingError) text(why error) string {
	at := ""
	if e.line > 0 {
		at = fmt.Sprintf("line %d, column %d: ", e.line, e.column)
	}
	return fmt.Sprintf("evaluate %s: %s%v", quote.Short(e.expression), at, why)
}

// failed says why an evaluation failed.
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

// find is the node of an expression with an id; nil: there is none.
func find(root ast.Expr, id int64) (found ast.Expr) {
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id {
			found = e
		}
	}))
	return found
}

// faultOf is what can be wrong with the data at a node. CEL says more, and quotes the data.
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

// faultsOf are the faults of CEL's functions. Of all others it is the types of the values.
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

// setUpErrors gives the errors that CEL has only once an id, before any evaluation does:
// the first one that met them would write its own into them, and all others would say that
// place (I6), or write at the same time.
func setUpErrors() {
	types.LabelErrNode(nowhere, types.NoSuchOverloadErr())
	types.LabelErrNode(nowhere, types.Int(math.MaxInt64).ConvertToType(types.TimestampType))
}

// nowhere is the id of no node.
const nowhere = -1
