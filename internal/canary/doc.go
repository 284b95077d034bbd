// Package canary provides text that others may write, for tests of what displays it: every
// kind of character that a terminal or browser interprets, and a coordinator that answers
// with nothing else.
//
//	command line, console ──▶ Coordinator: each string of each answer is Text
//	      │
//	      └─ their output ──▶ Obeyed, Forged
//
// The rules are repeated here on purpose: the tests compare the escaping code with them.
package canary
