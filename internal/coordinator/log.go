package coordinator

import (
	"context"
	"log/slog"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Keys of the structured log. They are part of the API, because dashboards and alerts depend on
// them.
const (
	LogSaga       = "saga"
	LogDefinition = "definition"
	LogRevision   = "revision"
	LogEvent      = "event"
	LogTimer      = "timer"
	LogStep       = "step"
	LogDirection  = "direction"
	LogAttempt    = "attempt"
	LogOutcome    = "outcome"
	LogOperation  = "operation"
	LogPhase      = "phase"
	LogReason     = "reason"
	LogTrace      = "trace_id"
	LogError      = "error"
	LogBy         = "by" // who requested the operation
	LogShard      = "shard"
	LogKind       = "kind"   // kind of standstill
	LogObject     = "object" // what is stuck
)

// logTransition logs a transition: at info level when a saga starts or changes its phase, at warn
// when it is parked, and at debug otherwise.
func logTransition(ctx context.Context, l *slog.Logger, t *Transition) {
	level := slog.LevelDebug
	switch {
	case t.After == contract.PhaseParked && t.Before != contract.PhaseParked:
		level = slog.LevelWarn
	case t.Before != t.After, t.Ended, t.Event == contract.EventOperationTaken:
		level = slog.LevelInfo
	}
	if !l.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 13)
	attrs = append(attrs,
		slog.String(LogSaga, string(t.Saga)), slog.String(LogDefinition, t.Definition.String()),
		slog.Uint64(LogRevision, t.Revision), slog.String(LogEvent, string(t.Event)), slog.String(LogPhase, string(t.After)))
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	text(LogTimer, string(t.Timer))
	text(LogStep, string(t.Step))
	text(LogDirection, string(t.Direction))
	if t.Attempt > 0 {
		attrs = append(attrs, slog.Int(LogAttempt, t.Attempt))
	}
	text(LogOutcome, string(t.Outcome))
	text(LogOperation, string(t.Operation))
	text(LogReason, t.Reason)
	text(LogTrace, transport.TraceID(t.TraceParent))
	l.LogAttrs(ctx, level, "transition", attrs...)
}
