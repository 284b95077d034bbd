// Package canary provides hostile text for tests of programs that display text from others. The
// text has every kind of character that a terminal or browser interprets, and the Coordinator of
// this package answers with nothing else.
//
//	command line, console ──▶ Coordinator: each string of each answer is Text
//	      │
//	      └─ their output ──▶ Obeyed, Forged
//
// The rules for escaping are deliberately duplicated here, so that tests can compare the escaping
// code with them.
package canary
