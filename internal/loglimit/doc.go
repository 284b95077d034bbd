// Package loglimit limits repeated log lines of one kind, so that whoever can make
// the program log once a message cannot fill its disk (I10).
//
//	logger ──▶ Limiter: first line at once, then one in 10 s, "and n more" ──▶ handler
//
// Warnings and errors are limited; other levels pass. A kind is a level, a message and
// the values of the attributes in Keys. It starts no goroutine and no timer: what was
// held back is told with the next line that passes, whatever its kind. Metrics count
// every single case; the log does not.
package loglimit
