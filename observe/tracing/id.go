package tracing

import (
	"context"
	"crypto/rand"

	"go.opentelemetry.io/otel/trace"
)

type idsKey struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

// WithIDs has the next span that is begun with this context get these ids, if
// its provider makes them with IDs. A trace id matters for a span without a
// parent only.
func WithIDs(ctx context.Context, t trace.TraceID, s trace.SpanID) context.Context {
	return context.WithValue(ctx, idsKey{}, ids{t, s})
}

// IDs makes the ids of spans: those of WithIDs, else random ones. It is an
// IDGenerator of OpenTelemetry's SDK. The coordinator's spans have ids that follow
// from the saga and its revision, because they are sent before the span exists.
type IDs struct{}

// NewIDs makes the ids of a span that begins a trace.
func (IDs) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	if given, ok := ctx.Value(idsKey{}).(ids); ok {
		return given.trace, given.span
	}
	_, _ = rand.Read(t[:]) // never fails (crypto/rand)
	_, _ = rand.Read(s[:])
	return t, s
}

// NewSpanID makes the id of a span in a trace that exists.
func (IDs) NewSpanID(ctx context.Context, _ trace.TraceID) (s trace.SpanID) {
	if given, ok := ctx.Value(idsKey{}).(ids); ok {
		return given.span
	}
	_, _ = rand.Read(s[:])
	return s
}
