package schema

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/amends-dev/amends/saga/internal/quote"
)

// Limits of one Schema (I10). A schema written by hand beyond them is refused by
// Check; one derived from a Go type says any from there on.
const (
	// MaxNodes bounds the objects, fields, lists, maps and values of one schema.
	MaxNodes = 1024
	// MaxDepth bounds how deep a schema is nested.
	MaxDepth = 32
)

// Kind is the kind of a JSON value.
type Kind string

// The kinds of values.
const (
	Any    Kind = "any"    // whatever JSON there is
	Object Kind = "object" // with the fields that Fields names; others may be there as well
	Map    Kind = "map"    // an object with any keys and values like Items
	List   Kind = "list"   // of values like Items
	String Kind = "string"
	Time   Kind = "time"  // a string in the form of RFC 3339
	Bytes  Kind = "bytes" // a string in standard base64
	Int    Kind = "int"   // a number without fraction that fits 64 bits
	Double Kind = "double"
	Bool   Kind = "bool"
)

// Schema describes JSON data, as far as mappings between steps need it. Its own
// JSON form is an example of what it describes, with the kinds in place of the
// values:
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
	Optional bool               // may be null and, as a field of an object, missing
	Fields   map[string]*Schema // of an object
	Items    *Schema            // of a list or map
}

// Check returns what is wrong with a schema that was written by hand.
func (s *Schema) Check() error {
	left := MaxNodes
	return s.checkAt("", 0, &left)
}

func (s *Schema) checkAt(path string, depth int, left *int) error {
	if *left--; *left < 0 {
		return fmt.Errorf("schema has more than %d nodes", MaxNodes)
	}
	if depth > MaxDepth {
		return fmt.Errorf("schema is nested deeper than %d%s", MaxDepth, at(path))
	}
	if s == nil {
		return fmt.Errorf("schema%s is missing", at(path))
	}
	switch s.Kind {
	case Object:
		for _, name := range sortedKeys(s.Fields) {
			if name == "" || !utf8.ValidString(name) {
				return fmt.Errorf("schema%s: the field name %q cannot be used", at(path), quote.Short(name))
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

// Equal reports whether two schemas describe the same data. Nil is any.
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

// IsAny reports whether nothing is known of the data.
func (s *Schema) IsAny() bool { return s == nil || s.Kind == Any }

// CanBeEmpty reports whether the data may be null although it is not optional: it is empty then,
// as it is for Go.
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
