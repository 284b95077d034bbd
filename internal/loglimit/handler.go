package loglimit

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Keys are the attributes that distinguish kinds of messages with the same text. Each attribute has
// few values, or is truncated and limited by MaxKinds.
var Keys = map[string]bool{"class": true, "stream": true, "participant": true}

// MoreKey is the attribute with the number of suppressed messages of a kind.
const MoreKey = "more"

// Logger returns a logger that limits warnings and errors. It returns a limited logger unchanged.
func Logger(l *slog.Logger) *slog.Logger {
	if _, limited := l.Handler().(*handler); limited {
		return l
	}
	return slog.New(&handler{next: l.Handler(), limiter: NewLimiter()})
}

// handler forwards the records that its limiter admits.
type handler struct {
	next    slog.Handler
	limiter *Limiter // shared by all loggers that are derived from the same Logger
	kind    string   // the attributes of With whose keys are in Keys
}

// line is a suppressed record with the handler that writes it.
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

// withMore adds the number of suppressed messages to the text and as an attribute.
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

// maxValue is the number of bytes of an attribute's value that distinguish kinds.
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
