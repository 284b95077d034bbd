package schema

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/amends-dev/amends/saga/internal/quote"
)

// Limits of one Schema (I10). Check refuses a schema that was written by hand and exceeds them. A
// schema derived from a Go type uses any for the parts beyond them.
const (
	// MaxNodes bounds the objects, fields, lists, maps and values of one schema.
	MaxNodes = 1024
	// MaxDepth bounds the nesting of a schema.
	MaxDepth = 32
)

// Kind is the kind of a JSON value.
type Kind string

// The kinds of values.
const (
	Any    Kind = "any"    // any JSON
	Object Kind = "object" // with the fields in Fields; other fields are allowed too
	Map    Kind = "map"    // an object with any keys, and values as described by Items
	List   Kind = "list"   // an array with items as described by Items
	String Kind = "string"
	Time   Kind = "time"  // a string as in RFC 3339
	Bytes  Kind = "bytes" // a string in standard base64
	Int    Kind = "int"   // a number without fraction that fits 64 bits
	Double Kind = "double"
	Bool   Kind = "bool"
)

// Schema describes JSON data, as far as mappings between steps need it. Its own JSON form is an
// example of the described data, with kinds in place of the values:
//
//	{
//	  "order_id": "string",
//	  "placed": "time",
//	  "note?": "string",                            may be missing or null
//	  "lines": [{"sku": "string", "quantity": "int"}],
//	  "labels": {"*": "string"},                    a map: any keys
//	  "discounts": ["double?"]                      items may be null
//	}
type Schema struct {
	Kind     Kind
	Optional bool               // may be null or, as a field of an object, missing
	Fields   map[string]*Schema // of an object
	Items    *Schema            // of a list or map
}

// Check returns the problems of a schema that was written by hand.
func (s *Schema) Check() error {
	left := MaxNodes
	return s.checkAt("", 0, &left)
}

func (s *Schema) checkAt(path string, depth int, left *int) error {
	if *left--; *left < 0 {
		return fmt.Errorf("schema has more than %d nodes", MaxNodes)
	}
	if depth > MaxDepth {
		return fmt.Errorf("schema is nested deeper than %d levels%s", MaxDepth, at(path))
	}
	if s == nil {
		return fmt.Errorf("schema%s is missing", at(path))
	}
	switch s.Kind {
	case Object:
		for _, name := range sortedKeys(s.Fields) {
			if name == "" || !utf8.ValidString(name) {
				return fmt.Errorf("schema%s: the field name %q must be valid UTF-8 and not empty", at(path), quote.Short(name))
			}
			if err := s.Fields[name].checkAt(path+"."+name, depth+1, left); err != nil {
				return err
			}
		}
	case List:
		return s.Items.checkAt(path+"[]", depth+1, left)
	case Map:
		return s.Items.checkAt(path+"[*]", depth+1, left)
	case Any, String, Time, Bytes, Int, Double, Bool:
	default:
		return fmt.Errorf("schema%s: %q cannot be described as JSON", at(path), quote.Short(string(s.Kind)))
	}
	return nil
}

// Equal reports whether two schemas describe the same data. A nil schema equals any.
func (s *Schema) Equal(other *Schema) bool {
	if s.IsAny() || other.IsAny() {
		return s.IsAny() && other.IsAny()
	}
	if s.Kind != other.Kind || s.Optional != other.Optional || len(s.Fields) != len(other.Fields) {
		return false
	}
	for name, field := range s.Fields {
		its, ok := other.Fields[name]
		if !ok || !field.Equal(its) {
			return false
		}
	}
	return s.Items.Equal(other.Items)
}

// IsAny reports whether nothing is known about the data.
func (s *Schema) IsAny() bool { return s == nil || s.Kind == Any }

// CanBeEmpty reports whether null is accepted although the data is not optional. Null then means
// empty data, as in Go.
func (s *Schema) CanBeEmpty() bool { return s.Kind == List || s.Kind == Map || s.Kind == Bytes }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Word names the kind of value for a message.
func (s *Schema) Word() string {
	switch {
	case s.IsAny():
		return "anything"
	case s.Kind == List:
		return "list of " + s.Items.Word()
	case s.Kind == Map:
		return "map of " + s.Items.Word()
	}
	return string(s.Kind)
}
