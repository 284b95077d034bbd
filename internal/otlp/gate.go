package otlp

import (
	"context"
	"log/slog"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// gate passes spans to the batcher while the queue has room, and counts the results.
type gate struct {
	bound   int64
	batcher sdk.SpanProcessor
	next    sdk.SpanExporter
	logger  *slog.Logger

	inside   atomic.Int64 // number of spans that ended but are not exported yet
	exported atomic.Uint64
	dropped  atomic.Uint64
	failed   atomic.Uint64
	failing  atomic.Bool
}

var (
	_ sdk.SpanProcessor = (*gate)(nil)
	_ sdk.SpanExporter  = exporting{}
)

// OnStart implements sdk.SpanProcessor.
func (g *gate) OnStart(ctx context.Context, s sdk.ReadWriteSpan) { g.batcher.OnStart(ctx, s) }

// OnEnd implements sdk.SpanProcessor. It never blocks.
func (g *gate) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if g.inside.Add(1) > g.bound {
		g.inside.Add(-1)
		g.dropped.Add(1)
		return
	}
	g.batcher.OnEnd(s)
}

// Shutdown implements sdk.SpanProcessor.
func (g *gate) Shutdown(ctx context.Context) error { return g.batcher.Shutdown(ctx) }

// ForceFlush implements sdk.SpanProcessor.
func (g *gate) ForceFlush(ctx context.Context) error { return g.batcher.ForceFlush(ctx) }

// exporting is the gate in its role as the batcher's exporter.
type exporting struct{ *gate }

// ExportSpans implements sdk.SpanExporter. It counts failures. It logs when failures begin and end,
// not each batch.
func (g exporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := g.next.ExportSpans(ctx, spans)
	g.inside.Add(-int64(len(spans)))
	switch {
	case err != nil:
		g.failed.Add(uint64(len(spans)))
		if !g.failing.Swap(true) {
			g.logger.WarnContext(ctx, "the trace collector failed; spans are dropped and counted, sagas are not affected", slog.Any("error", err))
		}
	default:
		g.exported.Add(uint64(len(spans)))
		if g.failing.Swap(false) {
			g.logger.InfoContext(ctx, "the trace collector works again", slog.Uint64("dropped", g.dropped.Load()), slog.Uint64("failed", g.failed.Load()))
		}
	}
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (g exporting) Shutdown(ctx context.Context) error { return g.next.Shutdown(ctx) }
