// Package schema describes JSON data: a Schema says which fields there are, and the kind of each
// value. Package saga exports Schema and Kind to authors, as saga.Schema and saga.SchemaKind.
//
//	schema.go   Schema, its limits and its validation
//	json.go     the JSON form of a schema, an example of the described data
//	reflect.go  the schema of a Go type
//	read.go     reading data, and the errors of data that is not JSON
//	accept.go   whether data matches a schema
//
// The package keeps its part of I10 (MaxNodes, MaxDepth).
//
// A failure is an error with one line for each mismatch.
package schema
