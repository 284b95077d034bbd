package mapping

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/amends-dev/amends/saga/internal/quote"
	"github.com/amends-dev/amends/saga/internal/schema"
)

// object is a JSON object with a known schema, as a CEL value. It keeps the decoded JSON, so that
// passing it on changes nothing. That includes fields that the schema does not have, and the digits
// of numbers.
type object struct {
	schema *schema.Schema
	where  string             // path in expressions, for messages
	raw    map[string]any     // as decoded by encoding/json with UseNumber
	read   map[string]ref.Val // decoded fields, including faults
	plain  ref.Val            // the result of asMap; nil if not computed yet
	size   uint32             // 0 if not computed yet
}

func newObject(s *schema.Schema, where string, raw map[string]any) *object {
	return &object{schema: s, where: where, raw: raw, read: map[string]ref.Val{}}
}

// has reports whether the field exists and is not null.
func (o *object) has(name string) bool { return o.raw[name] != nil }

// field returns the value of a field. A list, map or bytes field that is null, or optional and
// missing, is empty, as in Go. For any other missing field, it returns an error.
func (o *object) field(name string) (any, error) {
	if v, ok := o.read[name]; ok {
		return found(v)
	}
	known := o.schema.Fields[name]
	raw, present := o.raw[name]
	where := o.where + "." + name
	if raw == nil && !known.IsAny() {
		switch {
		case (present || known.Optional) && known.CanBeEmpty():
		case known.Optional:
			return nil, &dataFault{where: where, fault: faultMissing}
		default:
			return nil, &dataFault{where: where, fault: faultLack}
		}
	} else if !present {
		return nil, &dataFault{where: where, fault: faultMissing}
	}
	v := value(known, raw, where)
	o.read[name] = v
	return found(v)
}

// found returns v, or its error if v is an error value.
func found(v ref.Val) (any, error) {
	if failed, ok := v.(*types.Err); ok {
		return nil, failed.Unwrap()
	}
	return v, nil
}

// Get implements traits.Indexer for objects that passed through dyn().
func (o *object) Get(index ref.Val) ref.Val {
	name, ok := index.(types.String)
	if !ok || o.schema.Fields[string(name)] == nil {
		return faulty(o.where, faultKey, "there is no field %v", index.Value())
	}
	v, err := o.field(string(name))
	if err != nil {
		return types.WrapErr(err)
	}
	return v.(ref.Val) //nolint:errcheck // every value of an object is one
}

// IsSet implements traits.FieldTester.
func (o *object) IsSet(field ref.Val) ref.Val {
	name, ok := field.(types.String)
	return types.Bool(ok && o.has(string(name)))
}

// Equal implements ref.Val. Two objects are equal if their JSON is equal.
func (o *object) Equal(other ref.Val) ref.Val {
	its, ok := other.(*object)
	if !ok {
		return types.False
	}
	return types.Equal(o.asMap(), its.asMap())
}

// asMap returns the object as a map, as if it had no schema.
func (o *object) asMap() ref.Val {
	if o.plain == nil {
		o.plain, _ = deeplyPlain(value(nil, o.raw, o.where))
	}
	return o.plain
}

// ConvertToNative implements ref.Val. Nothing here converts objects to Go types.
func (o *object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s cannot be converted to %v", o.where, t)
}

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return types.NewObjectType("object " + o.where)
	}
	return types.NewErr("%s cannot be converted to %s", o.where, t.TypeName())
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.NewObjectType("object " + o.where) }

// Value implements ref.Val.
func (o *object) Value() any { return o }

// AggregateSize implements types.AggregateSizeVisitor.
func (o *object) AggregateSize(types.AggregateSizer) uint32 {
	if o.size == 0 {
		o.size = rawSize(o.raw)
	}
	return o.size
}

// rawSize returns the size of decoded JSON, as deepSize counts it.
func rawSize(raw any) uint32 {
	size := uint32(1)
	switch v := raw.(type) {
	case map[string]any:
		for key, field := range v {
			size += 1 + uint32(len(key)/bytesPerUnit) + rawSize(field)
		}
	case []any:
		for _, item := range v {
			size += rawSize(item)
		}
	case string:
		size += uint32(len(v) / bytesPerUnit)
	}
	return size
}

// value converts JSON to a CEL value according to its schema. JSON that does not match the schema
// becomes an error value.
func value(s *schema.Schema, raw any, where string) ref.Val {
	if s.IsAny() {
		return anyValue(raw, where)
	}
	switch v := raw.(type) {
	case nil:
		switch {
		case s.Kind == schema.List:
			return types.NewRefValList(types.DefaultTypeAdapter, nil)
		case s.Kind == schema.Map:
			return newSortedMap(nil)
		case s.Kind == schema.Bytes:
			return types.String("")
		case s.Optional:
			return types.NullValue
		}
	case bool:
		if s.Kind == schema.Bool {
			return types.Bool(v)
		}
	case string:
		if s.Kind == schema.String || s.Kind == schema.Time || s.Kind == schema.Bytes {
			return types.String(v)
		}
	case json.Number:
		if s.Kind == schema.Int || s.Kind == schema.Double {
			n := number(v, s.Kind == schema.Double, where)
			if types.IsError(n) {
				return n
			}
			return withText(n, v)
		}
	case []any:
		if s.Kind == schema.List {
			return list(s.Items, v, where)
		}
	case map[string]any:
		switch s.Kind {
		case schema.Object:
			return newObject(s, where, v)
		case schema.Map:
			return stringMap(s.Items, v, where)
		}
	}
	return types.WrapErr(&dataFault{where: where, fault: fault(fmt.Sprintf("is %s where the schema says %s", schema.KindOf(raw), s.Kind))})
}

// anyValue converts JSON without a schema to a CEL value.
func anyValue(raw any, where string) ref.Val {
	switch v := raw.(type) {
	case bool:
		return types.Bool(v)
	case string:
		return types.String(v)
	case json.Number:
		if u, err := strconv.ParseUint(string(v), 10, 64); err == nil && u > math.MaxInt64 {
			return types.Uint(u)
		}
		return withText(number(v, isDouble(v), where), v)
	case []any:
		return list(nil, v, where)
	case map[string]any:
		return stringMap(nil, v, where)
	}
	return types.NullValue
}

func list(items *schema.Schema, raw []any, where string) ref.Val {
	values := make([]ref.Val, len(raw))
	for i, item := range raw {
		v := value(items, item, where+"[]")
		if types.IsError(v) {
			return v
		}
		values[i] = v
	}
	return types.NewRefValList(types.DefaultTypeAdapter, values)
}

func stringMap(items *schema.Schema, raw map[string]any, where string) ref.Val {
	values := make(map[ref.Val]ref.Val, len(raw))
	for _, key := range sortedKeys(raw) {
		v := value(items, raw[key], where+"[]")
		if types.IsError(v) {
			return v
		}
		values[types.String(key)] = v
	}
	return newSortedMap(values)
}

// number returns the plain value of a number: a double, or a 64-bit integer, which has neither a
// fraction nor an exponent.
func number(n json.Number, double bool, where string) ref.Val {
	if double {
		f, err := strconv.ParseFloat(string(n), 64)
		if err != nil {
			return faulty(where, faultNumber, "is %s, which is out of range", quote.Short(string(n)))
		}
		return types.Double(f)
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		return faulty(where, faultInteger, "is %s, which is not a 64-bit integer written without fraction and exponent", quote.Short(string(n)))
	}
	return types.Int(i)
}

// isDouble reports whether a number without a schema is a double.
func isDouble(n json.Number) bool { return strings.ContainsAny(string(n), ".eE") }
