package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/schema"
	"github.com/amends-dev/amends/saga/machine"
)

// Mapping is a compiled CEL expression over the saga's input and the results of steps. It is safe
// for concurrent use.
type Mapping struct {
	expression string
	program    cel.Program
	quick      cel.Program // the same program, but its cost is bounded by quickCost
	least      int         // minimum cost, in units
	reads      []int       // the steps whose results the expression uses
	tree       *ast.AST
	types      *objectTypes
	input      *schema.Schema
}

var _ machine.Mapping = (*Mapping)(nil)

// celName returns a step's name as expressions spell it. Step names contain no underscore, so no
// two steps get the same spelling.
func celName(name contract.StepName) string { return strings.ReplaceAll(string(name), "-", "_") }

// Make implements machine.Mapping. It computes the data of a request, and decodes only the JSON
// that the expression uses. If it fails, the error is a *mappingError.
func (m *Mapping) Make(input []byte, results func(step int) []byte) ([]byte, error) {
	e := evaluation{Mapping: m, input: input, results: results, most: contract.MaxPayload}
	out, err := e.run(m.program)
	if err != nil {
		return nil, m.failed(err)
	}
	return out, nil
}

// Try does the same as Make, but its error describes a failure in full and quotes the data.
func (m *Mapping) Try(input []byte, results func(step int) []byte) ([]byte, error) {
	data, err := m.Make(input, results)
	if failed, ok := errors.AsType[*mappingError](err); ok {
		return nil, failed.whole()
	}
	return data, err
}

// Size implements machine.Mapping.
func (m *Mapping) Size(input []byte, results func(step int) []byte) int {
	size := len(input)
	for _, step := range m.reads {
		size += len(results(step))
	}
	return size
}

// MakeWithin implements machine.Mapping. It returns machine.ErrCostly if the evaluation exceeds
// quickCost or quickData.
func (m *Mapping) MakeWithin(input []byte, results func(step int) []byte) (out []byte, cost int, err error) {
	e := evaluation{Mapping: m, input: input, results: results, most: quickData, quick: true}
	out, err = e.run(m.quick)
	cost = e.cost + e.read/readPerUnit + len(out)/writtenPerUnit
	cancelled, is := errors.AsType[interpreter.EvalCancelledError](err)
	switch {
	case e.costly || is && cancelled.Cause == interpreter.CostLimitExceeded:
		return nil, cost, machine.ErrCostly
	case err != nil:
		return nil, cost, m.failed(err)
	}
	return out, cost, nil
}

// evaluation holds the state of one evaluation of a mapping.
type evaluation struct {
	*Mapping

	input   []byte
	results func(step int) []byte
	most    int // maximum length of the request, in bytes
	quick   bool

	read   int  // bytes of data read so far
	cost   int  // cost in units, without the cost of reading the data
	costly bool // whether it exceeds the bounds of a quick evaluation
}

func (e *evaluation) run(program cel.Program) ([]byte, error) {
	v, details, err := program.Eval(map[string]any{
		"input":  e.inputValue,
		"result": &resultsValue{evaluation: e, read: map[string]ref.Val{}},
	})
	if details != nil && details.ActualCost() != nil {
		e.cost = int(*details.ActualCost())
	}
	if err != nil || e.costly {
		return nil, err
	}
	w := newJSONWriter(e.most)
	if err := w.value(v); err != nil {
		e.costly = e.quick && w.full
		return nil, err
	}
	return w.buffer.Bytes(), nil
}

// inputValue decodes the value of the variable input, on the first use of the variable.
func (e *evaluation) inputValue() any {
	raw, err := e.readData(e.input)
	if err != nil {
		return types.WrapErr(err.at("the saga's input"))
	}
	return value(e.Mapping.input, raw, "input")
}

// readData decodes data. A quick evaluation fails if it reads more than quickData in total.
func (e *evaluation) readData(data []byte) (any, *dataFault) {
	if e.read += len(data); e.quick && e.read > quickData {
		e.costly = true
		return nil, &dataFault{fault: faultCost}
	}
	raw, err := schema.ReadJSON(data)
	if err != nil {
		return nil, &dataFault{fault: fault(err.Said), full: err.Full}
	}
	return raw, nil
}

// resultsValue is the value of the variable result, with a field for each step. A field is decoded
// once, on first use. A failure to decode it is cached too, because an expression may use the field
// repeatedly.
type resultsValue struct {
	evaluation *evaluation
	found      map[string][]byte  // encoded results; nil before the first use
	read       map[string]ref.Val // decoded results, including faults
}

func (r *resultsValue) data(name string) []byte {
	data, ok := r.found[name]
	if !ok {
		data = r.find(name)
		if r.found == nil {
			r.found = map[string][]byte{}
		}
		r.found[name] = data
	}
	return data
}

func (r *resultsValue) find(name string) []byte {
	step, ok := r.evaluation.types.numbers[name]
	if !ok {
		return nil
	}
	data := r.evaluation.results(step)
	if string(bytes.TrimSpace(data)) == "null" {
		return nil
	}
	return data
}

func (r *resultsValue) has(name string) bool { return len(r.data(name)) > 0 }

func (r *resultsValue) field(name string) (any, error) {
	v, ok := r.read[name]
	if !ok {
		v = r.readField(name)
		r.read[name] = v
	}
	return found(v)
}

func (r *resultsValue) readField(name string) ref.Val {
	where := "result." + name
	data := r.data(name)
	if len(data) == 0 {
		return types.WrapErr(&dataFault{where: where, fault: faultNoResult})
	}
	raw, err := r.evaluation.readData(data)
	if err != nil {
		return types.WrapErr(err.at(where))
	}
	return value(r.evaluation.types.results[name], raw, where)
}

// ConvertToNative implements ref.Val.
func (r *resultsValue) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("result cannot be converted to %v", t)
}

// ConvertToType implements ref.Val.
func (r *resultsValue) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("result cannot be converted to %s", t.TypeName())
}

// Equal implements ref.Val.
func (r *resultsValue) Equal(ref.Val) ref.Val {
	return types.NewErr("result as a whole cannot be compared")
}

// Type implements ref.Val.
func (r *resultsValue) Type() ref.Type { return resultsType }

// Value implements ref.Val.
func (r *resultsValue) Value() any { return r }

// AggregateSize implements types.AggregateSizeVisitor.
func (r *resultsValue) AggregateSize(types.AggregateSizer) uint32 { return 1 }
