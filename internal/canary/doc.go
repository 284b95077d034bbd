// Package canary is what strangers may write, for tests of what shows it: text with every
// kind of character that a terminal or a browser obeys, and a coordinator that answers
// nothing else.
//
//	command line, console ──▶ Coordinator: each string of each answer is Text
//	      │
//	      └─ what they show ──▶ Obeyed, Forged
//
// The rules are written down here once more, on purpose: they are what the code that
// escapes is held against.
package canary
