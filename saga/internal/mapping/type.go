package mapping

import (
	"fmt"

	"cel.dev/cel-go/common/types"

	"github.com/amends-dev/amends/saga/internal/schema"
)

// objectTypes provides the types of a definition's data to CEL. Each object schema is a struct
// type. Expressions cannot spell the type's name, so it cannot conflict with a variable.
type objectTypes struct {
	types.Provider
	schemas map[string]*schema.Schema // object types by name
	results map[string]*schema.Schema // schemas of the steps' results by CEL name; nil means any
	numbers map[string]int            // indices of the steps by CEL name
}

var _ types.Provider = (*objectTypes)(nil)

// resultsType is the type of the variable result: one field for each step.
var resultsType = types.NewObjectType("object result")

// typeOf returns the CEL type of data. where is the path of the data in expressions.
func (t *objectTypes) typeOf(s *schema.Schema, where string) *types.Type {
	if s.IsAny() {
		return types.DynType
	}
	switch s.Kind {
	case schema.Object:
		name := "object " + where
		if t.schemas[name] != s { // learn has already added every schema, so evaluations only read the map
			t.schemas[name] = s
		}
		return types.NewObjectType(name)
	case schema.List:
		return types.NewListType(t.typeOf(s.Items, where+"[]"))
	case schema.Map:
		return types.NewMapType(types.StringType, t.typeOf(s.Items, where+"[]"))
	case schema.Int:
		return types.IntType
	case schema.Double:
		return types.DoubleType
	case schema.Bool:
		return types.BoolType
	}
	return types.StringType // times and bytes are strings in JSON
}

// learn registers the object types in s before any expression is checked. Afterwards, the types are
// only read, possibly concurrently.
func (t *objectTypes) learn(s *schema.Schema, where string) {
	t.typeOf(s, where)
	if s.IsAny() {
		return
	}
	for name, field := range s.Fields {
		t.learn(field, where+"."+name)
	}
	if s.Items != nil {
		t.learn(s.Items, where+"[]")
	}
}

// FindStructType implements types.Provider.
func (t *objectTypes) FindStructType(name string) (*types.Type, bool) {
	if _, ok := t.schemas[name]; ok || name == resultsType.TypeName() {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return t.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (t *objectTypes) FindStructFieldNames(name string) ([]string, bool) {
	if s, ok := t.schemas[name]; ok {
		return sortedKeys(s.Fields), true
	}
	if name == resultsType.TypeName() {
		return sortedKeys(t.results), true
	}
	return t.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (t *objectTypes) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	where := name[min(len(name), len("object ")):] + "." + field
	if name == resultsType.TypeName() {
		if s, ok := t.results[field]; ok {
			return fieldType(t.typeOf(s, where), field), true
		}
		return nil, false
	}
	s, ok := t.schemas[name]
	if !ok {
		return t.Provider.FindStructFieldType(name, field)
	}
	if s.Fields[field] == nil {
		return nil, false
	}
	return fieldType(t.typeOf(s.Fields[field], where), field), true
}

// fielded is a value with named fields: an object or the variable result.
type fielded interface {
	field(name string) (any, error)
	has(name string) bool
}

func fieldType(typ *types.Type, name string) *types.FieldType {
	return &types.FieldType{
		Type: typ,
		IsSet: func(target any) bool {
			f, ok := target.(fielded)
			return ok && f.has(name)
		},
		GetFrom: func(target any) (any, error) {
			switch target := target.(type) {
			case fielded:
				return target.field(name)
			case error:
				return nil, target
			}
			return nil, fmt.Errorf("there is no field %s in %T", name, target)
		},
	}
}
