package strictjson

import (
	"bytes"
	"encoding/json"
	"iter"
	"reflect"
	"strings"
	"sync"
)

// known caches fieldsOf.
var known sync.Map // values are map[string]reflect.Type, keys are reflect.Type

// fieldsOf returns the types of a struct's fields, by JSON name.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if found, ok := known.Load(t); ok {
		fields, _ := found.(map[string]reflect.Type)
		return fields
	}
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		fields[nameOf(f)] = f.Type
	}
	known.Store(t, fields)
	return fields
}

func nameOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// names lists the names of a struct's fields in order and, down to a depth, the names of the fields
// of nested structs.
func names(t reflect.Type, prefix string, depth int) (all []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth == 0 || t == timeType {
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		all = append(all, prefix+nameOf(f))
		all = append(all, names(f.Type, prefix+nameOf(f)+".", depth-1)...)
	}
	return all
}

// kindOf returns the kind of a JSON value.
func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// members returns the members of a valid JSON object, or the items of an array, with empty names.
func members(value []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		object, i := value[0] == '{', skip(value, 1)
		for value[i] != '}' && value[i] != ']' {
			name := ""
			if object {
				end := valueEnd(value, i)
				_ = json.Unmarshal(value[i:end], &name) // a valid string
				i = skip(value, skip(value, end)+1)     // after the colon
			}
			end := valueEnd(value, i)
			if !yield(name, value[i:end]) {
				return
			}
			if i = skip(value, end); value[i] == ',' {
				i = skip(value, i+1)
			}
		}
	}
}

// skip returns the index of the first byte from i on that is not white space.
func skip(data []byte, i int) int {
	for data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r' {
		i++
	}
	return i
}

// valueEnd returns the index after the value that begins at data[i]. data is valid JSON.
func valueEnd(data []byte, i int) int {
	depth := 0
	for {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		default:
			if depth == 0 { // a number, true, false or null
				return i + bytes.IndexAny(data[i:], ",]} \t\r\n") // one of these follows, because the value is in an object or array
			}
		}
		i++
		if depth == 0 {
			return i
		}
	}
}
