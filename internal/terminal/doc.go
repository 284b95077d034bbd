// Package terminal is the only code with which the command line writes to stdout and stderr.
//
//	what others wrote ──▶ Printf, Table, JSON ──▶ visible escapes ──▶ stdout, stderr
//	what has lines of its own: logs, help ──▶ Lines ──┘
//
// Ids, names, reasons and errors come from other programs and people, and a terminal interprets
// some characters as commands, for example to move the cursor. A Stream escapes these characters
// everywhere, so that the commands need not do it. A Stream is not an io.Writer, so that escaping
// cannot be bypassed.
//
// The package does not shorten or translate text. In JSON, the escapes are valid JSON escapes, so
// programs read the original text.
//
// Err returns the first write error, such as a full disk. Later output is dropped.
package terminal
