// Package loglimit limits repeated log messages of the same kind, so that a message per request
// cannot fill the disk (I10).
//
//	logger ──▶ Limiter: first message at once, then one in 10 s, "and n more" ──▶ handler
//
// It limits warnings and errors; other levels pass. A kind consists of a level, a message text and
// the values of the attributes in Keys. There is no goroutine or timer. Suppressed messages are
// logged with the next message that passes, whatever its kind. Metrics count every case.
package loglimit
