// Package quote quotes definitions and data in messages: truncated, in one line, with their
// position.
//
// It cannot fail. Text that is too long ends in an ellipsis.
package quote
