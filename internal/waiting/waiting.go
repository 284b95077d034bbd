package waiting

import (
	"log/slog"
	"time"
)

// Every is the interval at which a wait is logged again.
const Every = 5 * time.Second

// Limit is the default timeout of a wait.
const Limit = 10 * time.Minute

// Line logs the progress of one wait.
type Line struct {
	log   *slog.Logger
	what  string
	attrs []any
	limit time.Duration
	began time.Time
	said  time.Time // zero if the wait was not logged yet
}

// On returns a Line for a wait that begins now. The limit is the timeout of the wait, or 0 for
// none. A nil logger means slog.Default(), so that a wait is never silent.
func On(log *slog.Logger, what string, limit time.Duration, attrs ...any) *Line {
	if log == nil {
		log = slog.Default()
	}
	return &Line{log: log, what: what, attrs: attrs, limit: limit, began: time.Now()}
}

// Still logs that the wait continues, and the error of the last attempt. It logs at most once per
// Every.
func (l *Line) Still(why error) {
	now := time.Now()
	if !l.said.IsZero() && now.Sub(l.said) < Every {
		return
	}
	l.said = now
	attrs := append([]any{"since", l.began.UTC().Format(time.RFC3339)}, l.attrs...)
	if l.limit > 0 {
		attrs = append(attrs, "gives_up_after", l.limit.String())
	}
	if why != nil {
		attrs = append(attrs, "error", why)
	}
	l.log.Warn("waiting for "+l.what, attrs...)
}

// Over logs the end of the wait if the wait was logged.
func (l *Line) Over() {
	if !l.said.IsZero() {
		l.log.Info("no longer waiting for "+l.what, append([]any{"waited", time.Since(l.began).Round(time.Millisecond).String()}, l.attrs...)...)
	}
}
