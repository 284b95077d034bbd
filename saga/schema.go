package saga

import "github.com/amends-dev/amends/saga/internal/schema"

// Limits of one Schema (I10). New refuses a schema that was written by hand and exceeds them. A
// schema derived from a Go type uses any for the parts beyond them.
const (
	// MaxSchemaNodes bounds the objects, fields, lists, maps and values of one schema.
	MaxSchemaNodes = schema.MaxNodes
	// MaxSchemaDepth bounds the nesting of a schema.
	MaxSchemaDepth = schema.MaxDepth
)

// SchemaKind is the kind of a JSON value.
type SchemaKind = schema.Kind

// The kinds of values.
const (
	SchemaAny    SchemaKind = schema.Any    // any JSON
	SchemaObject SchemaKind = schema.Object // with the fields in Fields; other fields are allowed too
	SchemaMap    SchemaKind = schema.Map    // an object with any keys, and values as described by Items
	SchemaList   SchemaKind = schema.List   // an array with items as described by Items
	SchemaString SchemaKind = schema.String
	SchemaTime   SchemaKind = schema.Time  // a string as in RFC 3339
	SchemaBytes  SchemaKind = schema.Bytes // a string in standard base64
	SchemaInt    SchemaKind = schema.Int   // a number without fraction that fits 64 bits
	SchemaDouble SchemaKind = schema.Double
	SchemaBool   SchemaKind = schema.Bool
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
//
// Its fields are:
//
//	Kind     SchemaKind
//	Optional bool               // may be null or, as a field of an object, missing
//	Fields   map[string]*Schema // of an object
//	Items    *Schema            // of a list or map
//
// Check returns the problems of a schema that was written by hand.
type Schema = schema.Schema

// SchemaFor returns the schema of the JSON that encoding/json produces for a T. It follows field
// tags and embedded structs. Fields with omitempty or omitzero may be missing, and pointers may be
// null. The result is nil if nothing is known: T is any or json.RawMessage, or T has its own JSON
// encoding. A recursive type becomes any, and so do the parts beyond MaxSchemaNodes or
// MaxSchemaDepth.
//
// A type that cannot be encoded as JSON, such as a channel, is reported by New or Define when the
// schema is used.
func SchemaFor[T any]() *Schema { return schema.For[T]() }
