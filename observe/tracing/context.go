package tracing

import (
	"context"
	"encoding/hex"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/transport"
)

// Parse parses a W3C trace context. ok is false if there is none or it must not be forwarded (see
// transport.TraceContext). Parse drops an invalid tracestate.
func Parse(traceParent, traceState string) (_ trace.SpanContext, ok bool) {
	traceParent, traceState, _ = transport.TraceContext(traceParent, traceState)
	if traceParent == "" {
		return trace.SpanContext{}, false
	}
	carrier := propagation.MapCarrier{"traceparent": traceParent, "tracestate": traceState}
	sc := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	return sc, sc.IsValid()
}

// Format returns a trace context as a W3C traceparent, or "" if it is invalid.
func Format(sc trace.SpanContext) string {
	if !sc.IsValid() {
		return ""
	}
	t, s, flags := sc.TraceID(), sc.SpanID(), [1]byte{byte(sc.TraceFlags() & trace.FlagsSampled)}
	var b [55]byte
	copy(b[:], "00-")
	hex.Encode(b[3:], t[:])
	b[35] = '-'
	hex.Encode(b[36:], s[:])
	b[52] = '-'
	hex.Encode(b[53:], flags[:])
	return string(b[:])
}

// under returns a context whose parent span is the span of a message. It returns ctx if the message
// has no trace context.
func under(ctx context.Context, traceParent, traceState string) context.Context {
	sc, ok := Parse(traceParent, traceState)
	if !ok {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc)
}
