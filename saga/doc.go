// Package saga is how a saga is defined: in Go (Define) or as data (New, ParseJSON), and what a
// definition is (Definition: checked, immutable data).
//
//	Define[Order]("checkout", …) ──▶ *Definition ──Plan──▶ *machine.Plan
//
//	define.go      Define and its parts: a definition in Go
//	spec.go        Spec: a definition as data
//	schema.go      Schema: what is known of JSON data
//	parse.go       ParseJSON: a definition as JSON
//	form.go        reading a Spec from JSON, with all that is wrong with its form
//	check.go       New: checks a Spec and makes the Definition
//	walk.go        the shape of a Spec, and each step in it
//	mapping.go     the mappings of a Spec, by package mapping
//	problem.go     Problem and DefinitionError
//	definition.go  Definition, and Try
//	default.go     timeouts and retries that are not written
//	plan.go        what a Definition comes to for package machine
//	canonical.go   canonical JSON and the fingerprint
//	compare.go     Compare: what differs between two definitions
//	limit.go       limits of a definition
//
// How a saga moves is package machine. The words that both ends of the bus know, such as kinds,
// directions and names, are those of package contract.
//
// It keeps its part of I10 (Limits).
//
// Failure looks like a *DefinitionError, which lists every problem of a definition with its path
// and a way to fix it.
package saga
