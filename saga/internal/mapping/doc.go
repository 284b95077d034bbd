// Package mapping makes the data of requests: it compiles CEL expressions over a saga's input and
// the results of its steps, checks and prices them, and evaluates them.
//
//	input, steps ──NewCompiler──▶ Compiler ──Compile──▶ *Mapping, a machine.Mapping
//
// Compiling and checking:
//
//	compile.go      Compiler: all that is wrong with a mapping, and the Mapping
//	environment.go  the part of CEL that mappings have, and limits of an expression's text
//	type.go         the types of input and results, from their schemas
//	usage.go        which results an expression uses, and whether they are certainly there
//	guard.go        whether fields that may be missing are guarded with has()
//	fit.go          whether what an expression makes is what the command takes
//	estimate.go     what an expression costs, at least and with much data
//
// Evaluating:
//
//	mapping.go      Mapping, one evaluation of it, and the variables input and result
//	value.go        JSON as values of CEL
//	number.go       numbers that keep their text while they are only passed on
//	null.go         null is missing for has() and ?
//	map.go          maps with their keys in one order
//	cost.go         what is paid for an evaluation, and the bounds on it
//	regexp.go       regular expressions, and what they cost
//	search.go       a string in a string, in linear time
//	json.go         values of CEL as JSON
//	fault.go        why an evaluation failed, in words without the data
//
// It keeps its part of I6 (the same bytes and the same verdict every time) and of I10
// (MaxExpression, MaxExpressions, the cost of an evaluation).
//
// Failure looks like a list of problems, each with a fix, or, for an evaluation, like an error
// that names the expression, the place in it and a fault out of a closed set.
package mapping
