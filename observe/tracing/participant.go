package tracing

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
)

// Participant records a participant's commands. Each command has one span of kind consumer,
// "process <subject>", which is a child of the transition that enqueued the command. The handler's
// context contains the span, so that the handler's spans are its children.
func Participant(provider trace.TracerProvider) participant.Tracer {
	return participants{tracer(provider)}
}

type participants struct{ tracer trace.Tracer }

// Command implements participant.Tracer.
func (p participants) Command(ctx context.Context, command *transport.Envelope) (context.Context, participant.Span) {
	attrs := message(command, semconv.MessagingOperationTypeProcess, "process")
	attrs = append(attrs, AttrStep.String(string(command.Step)), AttrDirection.String(string(command.Direction)),
		AttrAttempt.Int(command.Attempt), semconv.MessagingMessageBodySize(len(command.Data)))
	ctx, span := p.tracer.Start(under(ctx, command.TraceParent, command.TraceState), "process "+command.Subject,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attrs...))
	return ctx, commandSpan{ctx, span}
}

type commandSpan struct {
	ctx  context.Context
	span trace.Span
}

// Context implements participant.Span.
func (s commandSpan) Context() (traceParent, traceState string) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(s.ctx, carrier)
	traceParent, traceState, _ = transport.TraceContext(carrier["traceparent"], carrier["tracestate"])
	return traceParent, traceState
}

// End implements participant.Span. A failure or a missing answer is recorded as an error of the
// span; a rejection is not.
func (s commandSpan) End(r participant.Report) {
	s.span.SetAttributes(AttrParticipant.String(r.Participant), AttrAction.String(r.Action), AttrCalled.Bool(r.Called),
		semconv.MessagingConsumerGroupName(r.Participant))
	if r.Outcome != "" {
		s.span.SetAttributes(AttrOutcome.String(string(r.Outcome)))
	}
	if r.Reason != "" {
		s.span.SetAttributes(AttrReason.String(r.Reason))
	}
	if r.Outcome == contract.OutcomeFailed || r.Outcome == "" {
		kind := "failed"
		if r.Outcome == "" {
			kind = "unanswered"
		}
		s.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		s.span.SetStatus(codes.Error, r.Reason)
	}
	s.span.End()
}
