package loglimit

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Keys are the attributes whose values tell kinds of lines with the same message apart.
// Each has few values, or is cut and bounded by MaxKinds.
var Keys = map[string]bool{"class": true, "stream": true, "participant": true}

// MoreKey is the attribute that says how many lines of the kind were held back.
const MoreKey = "more"

// Logger returns a logger whose warnings and errors are limited; see the package
// comment. A logger that is limited already is returned as it is.
func Logger(l *slog.Logger) *slog.Logger {
	if _, limited := l.Handler().(*handler); limited {
		return l
	}
	return slog.New(&handler{next: l.Handler(), limiter: NewLimiter()})
}

// handler passes on what its limiter admits.
type handler struct {
	next    slog.Handler
	limiter *Limiter // shared by all that came of one Logger
	kind    string   // what the attributes of With say
}

// line is a record that is held back, with the handler that would have written it.
type line struct {
	to     slog.Handler
	record slog.Record
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	now := time.Now()
	for _, held := range h.limiter.Overdue(now) {
		if l, ok := held.Line.(line); ok {
			_ = l.to.Handle(ctx, withMore(l.record, held.More))
		}
	}
	if r.Level < slog.LevelWarn {
		return h.next.Handle(ctx, r)
	}
	more, ok := h.limiter.Admit(h.kindOf(&r), now, line{h.next, r})
	if !ok {
		return nil
	}
	return h.next.Handle(ctx, withMore(r, more))
}

// withMore says in the message and in an attribute how many lines were held back.
func withMore(r slog.Record, more int) slog.Record {
	if more == 0 {
		return r
	}
	r = r.Clone()
	r.Message += fmt.Sprintf(" (and %d more)", more)
	r.AddAttrs(slog.Int(MoreKey, more))
	return r
}

func (h *handler) kindOf(r *slog.Record) string {
	var b strings.Builder
	b.WriteString(r.Level.String())
	b.WriteByte(' ')
	b.WriteString(r.Message)
	b.WriteString(h.kind)
	r.Attrs(func(a slog.Attr) bool {
		add(&b, a)
		return true
	})
	return b.String()
}

// maxValue bounds what of an attribute's value tells kinds apart, in bytes.
const maxValue = 64

func add(b *strings.Builder, a slog.Attr) {
	if !Keys[a.Key] {
		return
	}
	value := a.Value.String()
	b.WriteByte(' ')
	b.WriteString(a.Key)
	b.WriteByte('=')
	b.WriteString(value[:min(len(value), maxValue)])
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.kind)
	for _, a := range attrs {
		add(&b, a)
	}
	return &handler{next: h.next.WithAttrs(attrs), limiter: h.limiter, kind: b.String()}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{next: h.next.WithGroup(name), limiter: h.limiter, kind: h.kind}
}
