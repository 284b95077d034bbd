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

// WithIDs sets the ids of the next span that is started with this context, if the span's provider
// uses IDs. The trace id is used only if the span has no parent.
func WithIDs(ctx context.Context, t trace.TraceID, s trace.SpanID) context.Context {
	return context.WithValue(ctx, idsKey{}, ids{t, s})
}

// IDs generates the ids of spans: the ids that WithIDs has set, or else random ids. It implements
// the IDGenerator of OpenTelemetry's SDK. The coordinator derives the ids of its spans from the
// saga and its revision, because it sends the ids before the span exists.
type IDs struct{}

// NewIDs returns the ids of a span that starts a trace.
func (IDs) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	if given, ok := ctx.Value(idsKey{}).(ids); ok {
		return given.trace, given.span
	}
	_, _ = rand.Read(t[:]) // crypto/rand never fails
	_, _ = rand.Read(s[:])
	return t, s
}

// NewSpanID returns the id of a span in an existing trace.
func (IDs) NewSpanID(ctx context.Context, _ trace.TraceID) (s trace.SpanID) {
	if given, ok := ctx.Value(idsKey{}).(ids); ok {
		return given.span
	}
	_, _ = rand.Read(s[:])
	return s
}
