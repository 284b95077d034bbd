package saga

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Limits of one Schema (I10). A schema written by hand beyond them is refused by
// New; one derived from a Go type says any from there on.
const (
	// MaxSchemaNodes bounds the objects, fields, lists, maps and values of one schema.
	MaxSchemaNodes = 1024
	// MaxSchemaDepth bounds how deep a schema is nested.
	MaxSchemaDepth = 32
)

// SchemaKind is the kind of a JSON value.
type SchemaKind string

// The kinds of values.
const (
	SchemaAny    SchemaKind = "any"    // whatever JSON there is
	SchemaObject SchemaKind = "object" // with the fields that Fields names; others may be there as well
	SchemaMap    SchemaKind = "map"    // an object with any keys and values like Items
	SchemaList   SchemaKind = "list"   // of values like Items
	SchemaString SchemaKind = "string"
	SchemaTime   SchemaKind = "time"  // a string in the form of RFC 3339
	SchemaBytes  SchemaKind = "bytes" // a string in standard base64
	SchemaInt    SchemaKind = "int"   // a number without fraction that fits 64 bits
	SchemaDouble SchemaKind = "double"
	SchemaBool   SchemaKind = "bool"
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
	Kind     SchemaKind
	Optional bool               // may be null and, as a field of an object, missing
	Fields   map[string]*Schema // of an object
	Items    *Schema            // of a list or map
}

// check returns what is wrong with a schema that was written by hand.
func (s *Schema) check() error {
	left := MaxSchemaNodes
	return s.checkAt("", 0, &left)
}

func (s *Schema) checkAt(path string, depth int, left *int) error {
	if *left--; *left < 0 {
		return fmt.Errorf("schema has more than %d nodes", MaxSchemaNodes)
	}
	if depth > MaxSchemaDepth {
		return fmt.Errorf("schema is nested deeper than %d%s", MaxSchemaDepth, at(path))
	}
	if s == nil {
		return fmt.Errorf("schema%s is missing", at(path))
	}
	switch s.Kind {
	case SchemaObject:
		for _, name := range sortedKeys(s.Fields) {
			if name == "" || !utf8.ValidString(name) {
				return fmt.Errorf("schema%s: the field name %q cannot be used", at(path), shorten(name))
			}
			if err := s.Fields[name].checkAt(path+"."+name, depth+1, left); err != nil {
				return err
			}
		}
	case SchemaList:
		return s.Items.checkAt(path+"[]", depth+1, left)
	case SchemaMap:
		return s.Items.checkAt(path+"[*]", depth+1, left)
	case SchemaAny, SchemaString, SchemaTime, SchemaBytes, SchemaInt, SchemaDouble, SchemaBool:
	default:
		return fmt.Errorf("schema%s: %q cannot be described as JSON", at(path), shorten(string(s.Kind)))
	}
	return nil
}

// equal reports whether two schemas describe the same data. Nil is any.
func (s *Schema) equal(other *Schema) bool {
	if s.isAny() || other.isAny() {
		return s.isAny() && other.isAny()
	}
	if s.Kind != other.Kind || s.Optional != other.Optional || len(s.Fields) != len(other.Fields) {
		return false
	}
	for name, field := range s.Fields {
		its, ok := other.Fields[name]
		if !ok || !field.equal(its) {
			return false
		}
	}
	return s.Items.equal(other.Items)
}

// isAny reports whether nothing is known of the data.
func (s *Schema) isAny() bool { return s == nil || s.Kind == SchemaAny }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// word names the kind of value for a message.
func (s *Schema) word() string {
	switch {
	case s.isAny():
		return "anything"
	case s.Kind == SchemaList:
		return "list of " + s.Items.word()
	case s.Kind == SchemaMap:
		return "map of " + s.Items.word()
	}
	return string(s.Kind)
}

// conversion is the CEL function that makes such a value.
func (s *Schema) conversion() string {
	switch s.Kind {
	case SchemaInt, SchemaDouble, SchemaBool:
		return string(s.Kind)
	}
	return "string"
}
