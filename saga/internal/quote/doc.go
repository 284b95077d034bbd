// Package quote is how messages quote what definitions and data say: cut, in one line, with the
// place where it stands.
//
// Failure looks like an ellipsis.
package quote
