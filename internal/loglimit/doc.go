// Package loglimit limits repeated log messages of one kind, so that one message per
// request cannot fill the disk (I10).
//
//	logger ──▶ Limiter: first message at once, then one in 10 s, "and n more" ──▶ handler
//
// Warnings and errors are limited; other levels pass. A kind is a level, a message and the
// values of the attributes in Keys. There is no goroutine or timer: suppressed messages are
// reported with the next message that passes, whatever its kind. Metrics count every case.
package loglimit
