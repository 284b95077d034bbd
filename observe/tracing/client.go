package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/transport"
)

// Client records a caller's requests that change a saga. Each request has one span of kind
// producer, "send <subject>". The span lasts until the coordinator has confirmed the commit. The
// saga's first transition is a child of the span.
func Client(provider trace.TracerProvider) client.Tracer {
	return clients{tracer(provider)}
}

type clients struct{ tracer trace.Tracer }

// Request implements client.Tracer.
func (c clients) Request(ctx context.Context, request *transport.Envelope) func(error) {
	ctx = under(ctx, request.TraceParent, request.TraceState)
	attrs := append(message(request, semconv.MessagingOperationTypeSend, "send"), semconv.MessagingMessageBodySize(len(request.Data)))
	ctx, span := c.tracer.Start(ctx, "send "+request.Subject, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attrs...))
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if carrier["traceparent"] != "" {
		request.TraceParent, request.TraceState, _ = transport.TraceContext(carrier["traceparent"], carrier["tracestate"])
	}
	return func(err error) {
		defer span.End()
		if err == nil {
			return
		}
		if refused, ok := errors.AsType[*client.Error](err); ok {
			span.SetAttributes(semconv.ErrorTypeKey.String(string(refused.Code)))
		}
		span.SetStatus(codes.Error, err.Error())
	}
}
