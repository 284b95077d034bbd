package saga

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/amends-dev/amends/saga/internal/quote"
)

// form reads a Spec from JSON that is valid and not nested too deeply. Unlike encoding/json, it
// continues after a problem. It omits the wrong value, and reports all problems with their
// positions.
type form struct {
	data     []byte
	problems []Problem
}

// jsonValue holds a JSON value. For a member of an object, it also holds the key.
type jsonValue struct {
	raw   []byte
	at    int64 // offset at which the value begins
	key   string
	keyAt int64
}

// place returns the offset that is best for an error: the offset of the key or, without a key, the
// offset of the value.
func (v jsonValue) place() int64 {
	if v.keyAt > 0 {
		return v.keyAt
	}
	return v.at
}

func (f *form) add(at int64, path, what, fix string) {
	if path == "" {
		path = "definition"
	}
	if len(f.problems) <= maxProblems {
		f.problems = append(f.problems, Problem{Path: path, What: quote.Position(f.data, at) + ": " + what, Fix: fix})
	}
}

var schemaType = reflect.TypeFor[*Schema]()

// read reads one value into its field of the Spec. null is treated as missing.
func (f *form) read(path string, v jsonValue, into reflect.Value) {
	switch {
	case string(v.raw) == "null":
	case into.Type() == schemaType:
		f.schema(path, v, into)
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		f.read(path, v, into.Elem())
	case into.Kind() == reflect.Struct:
		f.object(path, v, into)
	case into.Kind() == reflect.Slice:
		f.list(path, v, into)
	default:
		f.scalar(path, v, into)
	}
}

func (f *form) scalar(path string, v jsonValue, into reflect.Value) {
	err := json.Unmarshal(v.raw, into.Addr().Interface())
	switch mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); {
	case err == nil:
	case ok:
		f.add(v.place(), path, "holds a JSON "+quote.Line(mistyped.Value), "write "+wanted(into.Type()))
		into.SetZero()
	default:
		f.add(v.place(), path, quote.Line(err.Error()), "or leave it out, for the default")
	}
}

// wanted describes the values that a field of the Spec accepts.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		return "an object with fields among " + strings.Join(fieldNames(t), ", ")
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	return "a whole number"
}

func (f *form) object(path string, v jsonValue, into reflect.Value) {
	members, ok := f.members(v)
	if !ok {
		f.add(v.place(), path, "is not an object", "write "+wanted(into.Type()))
		return
	}
	names := fieldNames(into.Type())
	seen := map[string]bool{}
	for _, m := range members {
		here := strings.TrimPrefix(path+"."+quote.Short(m.key), ".")
		i := slices.Index(names, m.key)
		switch {
		case i < 0:
			f.add(m.keyAt, here, "there is no such field", "write one of "+strings.Join(names, ", "))
		case seen[m.key]:
			f.add(m.keyAt, here, "is given twice", "keep one")
		case m.key == "step" && into.Type() == reflect.TypeFor[Node]():
			f.read(path, m, into.Field(i)) // a node that is a step uses the step's path
		default:
			f.read(here, m, into.Field(i))
		}
		seen[m.key] = true
	}
}

// fieldNames returns the JSON names of a struct's fields in their order.
func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

func (f *form) list(path string, v jsonValue, into reflect.Value) {
	items, ok := f.items(v)
	if !ok {
		f.add(v.place(), path, "is not a list", "write "+wanted(into.Type())+", in [ ]")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(items), len(items)))
	for i, item := range items {
		f.read(path+"["+strconv.Itoa(i)+"]", item, into.Index(i))
	}
}

func (f *form) schema(path string, v jsonValue, into reflect.Value) {
	const fix = "or leave the schema out to accept any value"
	if key, at, twice := f.twice(v); twice {
		f.add(at, path+"."+quote.Short(key), "is given twice", "keep one")
		return
	}
	schema := new(Schema)
	if err := json.Unmarshal(v.raw, schema); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			f.add(v.place(), path, quote.Line(line), fix)
		}
		return
	}
	into.Set(reflect.ValueOf(schema))
}

// twice finds a duplicate field anywhere in a value.
func (f *form) twice(v jsonValue) (key string, at int64, found bool) {
	members, _ := f.members(v)
	items, _ := f.items(v)
	seen := map[string]bool{}
	for _, m := range slices.Concat(members, items) {
		if m.keyAt > 0 && seen[m.key] {
			return m.key, m.keyAt, true
		}
		seen[m.key] = true
		if key, at, found = f.twice(m); found {
			return key, at, true
		}
	}
	return "", 0, false
}

// members returns the members of an object.
func (f *form) members(v jsonValue) ([]jsonValue, bool) { return f.parts(v, '{') }

// items returns the items of an array.
func (f *form) items(v jsonValue) ([]jsonValue, bool) { return f.parts(v, '[') }

func (f *form) parts(v jsonValue, open byte) ([]jsonValue, bool) {
	if v.raw[0] != open {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(v.raw))
	_, _ = decoder.Token() // the JSON is valid, so no call fails here or below
	next := func() int64 {
		behind := v.raw[decoder.InputOffset():]
		return v.at + int64(len(v.raw)-len(bytes.TrimLeft(behind, " \t\r\n,:")))
	}
	var parts []jsonValue
	for decoder.More() {
		var part jsonValue
		if open == '{' {
			part.keyAt = next()
			token, _ := decoder.Token()
			part.key = fmt.Sprint(token)
		}
		part.at = next()
		_ = decoder.Decode((*json.RawMessage)(&part.raw))
		parts = append(parts, part)
	}
	return parts, true
}
