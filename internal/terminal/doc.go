// Package terminal is the one way in which the command line writes to stdout and stderr.
//
//	what others wrote ──▶ Printf, Table, JSON ──▶ visible escapes ──▶ stdout, stderr
//	what has lines of its own: logs, help ──▶ Lines ──┘
//
// Ids, names, reasons and errors come from other people, and a terminal takes some of
// their characters for commands: to move the cursor, to write backwards, to answer. A
// Stream writes such characters as escapes, wherever they stand, so that no command has
// to think of it; and it is no io.Writer, so that none can write past it.
//
// It does not shorten or translate. In JSON an escape stands for the same character, so
// that programs read what was written.
//
// Failure looks like Err: the first error of writing, such as that of a full disk. What
// is written after it is dropped.
package terminal
