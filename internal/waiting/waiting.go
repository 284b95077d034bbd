package waiting

import (
	"log/slog"
	"time"
)

// Every is how often is said that something is still waited for.
const Every = 5 * time.Second

// Limit is how long is waited for what should be there, unless something else is stated.
const Limit = 10 * time.Minute

// Line says on what is waited.
type Line struct {
	log   *slog.Logger
	what  string
	attrs []any
	limit time.Duration
	began time.Time
	said  time.Time // zero: not yet
}

// On returns a line about a wait that begins now and ends after limit at the latest; 0: it is
// not limited. The logger is slog.Default() if there is none: silence helps nobody who waits.
func On(log *slog.Logger, what string, limit time.Duration, attrs ...any) *Line {
	if log == nil {
		log = slog.Default()
	}
	return &Line{log: log, what: what, attrs: attrs, limit: limit, began: time.Now()}
}

// Still says that it is waited, and why what was tried last did not work, unless that was said
// less than Every ago.
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

// Over says that it is there, if it was said that it is waited for.
func (l *Line) Over() {
	if !l.said.IsZero() {
		l.log.Info("no longer waiting for "+l.what, append([]any{"waited", time.Since(l.began).Round(time.Millisecond).String()}, l.attrs...)...)
	}
}
