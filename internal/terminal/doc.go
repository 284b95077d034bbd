// Package terminal is the only way in which the command line writes to stdout and stderr.
//
//	what others wrote ──▶ Printf, Table, JSON ──▶ visible escapes ──▶ stdout, stderr
//	what has lines of its own: logs, help ──▶ Lines ──┘
//
// Ids, names, reasons and errors come from others, and a terminal interprets some
// characters as commands, such as to move the cursor. A Stream escapes them everywhere, so
// that commands need not care. It is not an io.Writer, so that nothing can bypass it.
//
// It does not shorten or translate. In JSON the escapes stand for the original characters,
// so that programs read the original text.
//
// Failure looks like Err: the first write error, such as a full disk. Later output is
// dropped.
package terminal
