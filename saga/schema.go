package saga

import "github.com/amends-dev/amends/saga/internal/schema"

// Limits of one Schema (I10). A schema written by hand beyond them is refused by
// New; one derived from a Go type says any from there on.
const (
	// MaxSchemaNodes bounds the objects, fields, lists, maps and values of one schema.
	MaxSchemaNodes = schema.MaxNodes
	// MaxSchemaDepth bounds how deep a schema is nested.
	MaxSchemaDepth = schema.MaxDepth
)

// SchemaKind is the kind of a JSON value.
type SchemaKind = schema.Kind

// The kinds of values.
const (
	SchemaAny    = schema.Any    // whatever JSON there is
	SchemaObject = schema.Object // with the fields that Fields names; others may be there as well
	SchemaMap    = schema.Map    // an object with any keys and values like Items
	SchemaList   = schema.List   // of values like Items
	SchemaString = schema.String
	SchemaTime   = schema.Time  // a string in the form of RFC 3339
	SchemaBytes  = schema.Bytes // a string in standard base64
	SchemaInt    = schema.Int   // a number without fraction that fits 64 bits
	SchemaDouble = schema.Double
	SchemaBool   = schema.Bool
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
type Schema = schema.Schema

// SchemaFor describes the JSON that encoding/json makes of a T: field tags,
// embedded structs, omitempty and omitzero (may be missing), pointers (may be
// null). Nil means that nothing is known: T is any, json.RawMessage, or writes
// its own JSON. A type within itself becomes any, and so does what exceeds
// MaxSchemaNodes or MaxSchemaDepth.
//
// A type that cannot be JSON, such as a channel, is reported where the schema is
// used, by New or Define.
func SchemaFor[T any]() *Schema { return schema.For[T]() }
