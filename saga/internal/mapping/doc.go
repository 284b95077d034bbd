// Package mapping computes the data of requests: it compiles CEL expressions over a saga's input
// and the results of its steps, checks and prices them, and evaluates them.
//
//	input, steps ──NewCompiler──▶ Compiler ──Compile──▶ *Mapping, a machine.Mapping
//
// Compiling and checking:
//
//	compile.go      Compiler: all problems of a mapping, and the Mapping
//	environment.go  the part of CEL that mappings can use, and limits of an expression's text
//	type.go         the types of input and results, from their schemas
//	usage.go        which results an expression uses, and whether they certainly exist
//	guard.go        whether optional fields are guarded with has()
//	fit.go          whether the output of an expression matches the request of the command
//	estimate.go     the cost of an expression, at least and with much data
//
// Evaluating:
//
//	mapping.go      Mapping, its evaluation, and the variables input and result
//	value.go        JSON as CEL values
//	number.go       numbers that keep their text while they are only passed on
//	null.go         null counts as missing for has() and ?
//	map.go          maps with a deterministic order of keys
//	cost.go         the cost of an evaluation, and its bounds
//	regexp.go       regular expressions, and their cost
//	search.go       substring search in linear time
//	json.go         CEL values as JSON
//	fault.go        why an evaluation failed, in words without the data
//
// It keeps its part of I6 (the same bytes and the same result every time) and its part of I10
// (MaxExpression, MaxExpressions, the cost of an evaluation).
//
// A failed compilation returns a list of problems, each with a fix. A failed evaluation returns an
// error that names the expression, the position in it and a fault from a closed set.
package mapping
