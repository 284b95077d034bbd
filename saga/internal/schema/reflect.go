package schema

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// For returns the schema of the JSON that encoding/json produces for a T. It follows field tags and
// embedded structs. Fields with omitempty or omitzero may be missing, and pointers may be null. The
// result is nil if nothing is known: T is any or json.RawMessage, or T has its own JSON encoding. A
// recursive type becomes any, and so do the parts beyond MaxNodes or MaxDepth.
//
// A type that cannot be encoded as JSON, such as a channel, is reported by New or Define when the
// schema is used.
func For[T any]() *Schema {
	r := reflector{left: MaxNodes - 1, open: map[reflect.Type]bool{}}
	s := r.schema(reflect.TypeFor[T](), 0)
	s.Optional = false
	if s.IsAny() {
		return nil
	}
	return s
}

var (
	timeType          = reflect.TypeFor[time.Time]()
	numberType        = reflect.TypeFor[json.Number]()
	jsonMarshaler     = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler   = reflect.TypeFor[json.Unmarshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

type reflector struct {
	left int                   // number of nodes that may still be created
	open map[reflect.Type]bool // types that enclose the current one
}

// schema returns the schema of a type. A type with its own JSON methods becomes any. A type with
// its own text methods becomes a string if its values have MarshalText, and otherwise any.
func (r *reflector) schema(t reflect.Type, depth int) *Schema {
	if depth > MaxDepth || r.open[t] {
		return &Schema{Kind: Any}
	}
	pointer := reflect.PointerTo(t)
	switch {
	case t == timeType:
		return &Schema{Kind: Time}
	case t.Kind() == reflect.Pointer:
		r.open[t] = true
		s := r.schema(t.Elem(), depth)
		delete(r.open, t)
		s.Optional = true
		return s
	case t == numberType, pointer.Implements(jsonMarshaler), pointer.Implements(jsonUnmarshaler):
		return &Schema{Kind: Any}
	case t.Implements(textMarshalerType) && t.Kind() != reflect.Interface:
		return &Schema{Kind: String}
	case pointer.Implements(textMarshalerType), pointer.Implements(textUnmarshaler):
		return &Schema{Kind: Any}
	}
	return r.kind(t, depth)
}

func (r *reflector) kind(t reflect.Type, depth int) *Schema {
	switch t.Kind() {
	case reflect.Bool:
		return &Schema{Kind: Bool}
	case reflect.String:
		return &Schema{Kind: String}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return &Schema{Kind: Int}
	case reflect.Float32, reflect.Float64:
		return &Schema{Kind: Double}
	case reflect.Interface:
		return &Schema{Kind: Any}
	case reflect.Slice, reflect.Array:
		return r.list(t, depth)
	case reflect.Map:
		return r.mapping(t, depth)
	case reflect.Struct:
		return r.object(t, depth)
	}
	return &Schema{Kind: Kind(t.String())} // Check reports it
}

func (r *reflector) list(t reflect.Type, depth int) *Schema {
	if elem := t.Elem(); t.Kind() == reflect.Slice && elem.Kind() == reflect.Uint8 {
		if pointer := reflect.PointerTo(elem); !pointer.Implements(jsonMarshaler) && !pointer.Implements(textMarshalerType) {
			return &Schema{Kind: Bytes}
		}
	}
	return r.collection(List, t, depth)
}

func (r *reflector) mapping(t reflect.Type, depth int) *Schema {
	switch key := t.Key(); key.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
	default:
		if !key.Implements(textMarshalerType) {
			return &Schema{Kind: Kind(t.String())}
		}
	}
	return r.collection(Map, t, depth)
}

func (r *reflector) collection(kind Kind, t reflect.Type, depth int) *Schema {
	if !r.reserve(1) {
		return &Schema{Kind: Any}
	}
	r.open[t] = true
	defer delete(r.open, t)
	return &Schema{Kind: kind, Items: r.schema(t.Elem(), depth+1)}
}

// reserve takes n nodes from the remaining ones. It reports whether there were enough.
func (r *reflector) reserve(n int) bool {
	if n > r.left {
		return false
	}
	r.left -= n
	return true
}

func (r *reflector) object(t reflect.Type, depth int) *Schema {
	fields := jsonFields(t)
	if !r.reserve(len(fields)) {
		return &Schema{Kind: Any}
	}
	r.open[t] = true
	defer delete(r.open, t)
	s := &Schema{Kind: Object, Fields: map[string]*Schema{}}
	for _, f := range fields {
		field := r.schema(f.typ, depth+1)
		if f.quoted && field.Kind != Any {
			field = &Schema{Kind: String, Optional: field.Optional}
		}
		field.Optional = field.Optional || f.optional
		s.Fields[f.name] = field
	}
	return s
}

// jsonField is a field of a struct as encoding/json sees it.
type jsonField struct {
	name             string
	typ              reflect.Type
	tagged           bool // whether its name comes from a tag
	optional, quoted bool
	depth            int // depth of embedding
}

// jsonFields returns the fields that encoding/json writes for a struct, in order. Fields of
// embedded structs are promoted. Of several fields with the same name, the shallowest one counts.
// If several are equally shallow, the only tagged one counts, and otherwise none.
func jsonFields(t reflect.Type) []jsonField {
	var all []jsonField
	embeddedFields(t, 0, false, map[reflect.Type]bool{}, &all)
	var names []string
	byName := map[string][]jsonField{}
	for _, f := range all {
		if byName[f.name] == nil {
			names = append(names, f.name)
		}
		byName[f.name] = append(byName[f.name], f)
	}
	var fields []jsonField
	for _, name := range names {
		if f, ok := dominant(byName[name]); ok {
			fields = append(fields, f)
		}
	}
	return fields
}

func dominant(same []jsonField) (jsonField, bool) {
	slices.SortStableFunc(same, func(a, b jsonField) int {
		if a.depth != b.depth {
			return a.depth - b.depth
		}
		if a.tagged != b.tagged {
			if a.tagged {
				return -1
			}
			return 1
		}
		return 0
	})
	if len(same) > 1 && same[0].depth == same[1].depth && same[0].tagged == same[1].tagged {
		return jsonField{}, false
	}
	return same[0], true
}

// embeddedFields collects the fields of t and of its embedded structs. Fields of a struct that is
// embedded as a pointer may be missing.
func embeddedFields(t reflect.Type, depth int, optional bool, open map[reflect.Type]bool, all *[]jsonField) {
	if open[t] || depth > MaxDepth {
		return
	}
	open[t] = true
	defer delete(open, t)
	for f := range t.Fields() {
		typ := f.Type
		pointer := typ.Kind() == reflect.Pointer && typ.Name() == ""
		if f.Anonymous && pointer {
			typ = typ.Elem()
		}
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && (!f.Anonymous || typ.Kind() != reflect.Struct) {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !validTag(name) {
			name = ""
		}
		if f.Anonymous && name == "" && typ.Kind() == reflect.Struct {
			embeddedFields(typ, depth+1, optional || pointer, open, all)
			continue
		}
		field := jsonField{name: name, typ: f.Type, tagged: name != "", optional: optional, depth: depth}
		if name == "" {
			field.name = f.Name
		}
		field.apply(strings.Split(options, ","))
		*all = append(*all, field)
	}
}

// apply applies the options of a json tag.
func (f *jsonField) apply(options []string) {
	for _, option := range options {
		switch option {
		case "omitzero":
			f.optional = true
		case "omitempty":
			if k := f.typ.Kind(); k != reflect.Struct && (k != reflect.Array || f.typ.Len() == 0) {
				f.optional = true
			}
		case "string":
			typ := f.typ
			if typ.Kind() == reflect.Pointer {
				typ = typ.Elem()
			}
			switch typ.Kind() {
			case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
				reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
				reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
				f.quoted = true
			}
		}
	}
}

// validTag reports whether encoding/json accepts a tag's name as the name of a field.
func validTag(name string) bool {
	if name == "" {
		return false
	}
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return true
}
