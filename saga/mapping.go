package saga

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// mapping is a compiled CEL expression over the saga's input and the results of
// steps. It is safe for concurrent use.
type mapping struct {
	expression string
	program    cel.Program
	tree       *ast.AST
	types      *objectTypes
	input      *Schema
}

// celName is how an expression writes a step's name. Names have no underscore,
// so two of them never become the same.
func celName(name StepName) string { return strings.ReplaceAll(string(name), "-", "_") }

// eval makes the data of a request. JSON is read only as far as the expression
// asks for it. The error is a *mappingError.
func (m *mapping) eval(input []byte, results func(step int) []byte) ([]byte, error) {
	out, err := m.run(input, results)
	if err != nil {
		return nil, m.failed(err)
	}
	return out, nil
}

func (m *mapping) run(input []byte, results func(step int) []byte) ([]byte, error) {
	v, _, err := m.program.Eval(map[string]any{
		"input": func() any {
			raw, err := readJSON(input)
			if err != nil {
				return types.WrapErr(err.at("the saga's input"))
			}
			return value(m.input, raw, "input")
		},
		"result": &resultsValue{m, results, map[string]ref.Val{}},
	})
	if err != nil {
		return nil, err
	}
	w := newJSONWriter()
	if err := w.value(v); err != nil {
		return nil, err
	}
	return w.buffer.Bytes(), nil
}

// readJSON reads data; err says where it is not JSON, and not what stands there.
func readJSON(data []byte) (any, *dataFault) {
	not := func(how string) *dataFault { return &dataFault{fault: faultNotJSON + fault(": "+how)} }
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, not("it is empty")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var raw any
	if err := decoder.Decode(&raw); err != nil {
		syntax, ok := errors.AsType[*json.SyntaxError](err)
		if !ok {
			return nil, not("it ends too early")
		}
		wrong := not(position(data, syntax.Offset-1))
		wrong.full = string(wrong.fault) + ": " + syntax.Error()
		return nil, wrong
	}
	if decoder.More() {
		return nil, not("there is data behind its end")
	}
	return raw, nil
}

// resultsValue is the variable result: a field for each step, read when it is
// asked for.
type resultsValue struct {
	mapping *mapping
	results func(step int) []byte
	read    map[string]ref.Val
}

func (r *resultsValue) data(name string) []byte {
	step, ok := r.mapping.types.numbers[name]
	if !ok {
		return nil
	}
	data := r.results(step)
	if string(bytes.TrimSpace(data)) == "null" {
		return nil
	}
	return data
}

func (r *resultsValue) has(name string) bool { return len(r.data(name)) > 0 }

func (r *resultsValue) field(name string) (any, error) {
	if v, ok := r.read[name]; ok {
		return v, nil
	}
	where := "result." + name
	data := r.data(name)
	if len(data) == 0 {
		return nil, &dataFault{where: where, fault: faultNoResult}
	}
	raw, err := readJSON(data)
	if err != nil {
		return nil, err.at(where)
	}
	v := value(r.mapping.types.results[name], raw, where)
	if failed, ok := v.(*types.Err); ok {
		return nil, failed
	}
	r.read[name] = v
	return v, nil
}

// ConvertToNative implements ref.Val.
func (r *resultsValue) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("result does not become a %v", t)
}

// ConvertToType implements ref.Val.
func (r *resultsValue) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("result does not become a %s", t.TypeName())
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
