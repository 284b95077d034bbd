// Package schema is what is known of JSON data: a Schema says which fields there are and what
// kind of value each is. Package saga has the names with which authors use it.
//
//	schema.go   Schema, its limits and what can be wrong with one
//	json.go     the JSON form of a schema, an example of what it describes
//	reflect.go  the schema of a Go type
//	read.go     reading data, and what data can be other than JSON
//	accept.go   whether data is as a schema describes it
//
// It keeps its part of I10 (MaxNodes, MaxDepth).
//
// Failure looks like an error that lists what differs, one line for each place.
package schema
