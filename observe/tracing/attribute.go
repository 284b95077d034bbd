package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/transport"
)

// Scope is the instrumentation scope of all spans.
const Scope = "github.com/amends-dev/amends"

// SchemaURL identifies the release of the semantic conventions that are used.
const SchemaURL = semconv.SchemaURL

// Span attributes about sagas. For messages, OpenTelemetry's own attributes are used.
const (
	AttrSagaID      = attribute.Key("amends.saga.id")
	AttrDefinition  = attribute.Key("amends.saga.definition") // name/version
	AttrRevision    = attribute.Key("amends.saga.revision")   // revision after the transition
	AttrPhase       = attribute.Key("amends.saga.phase")      // phase after the transition
	AttrEnded       = attribute.Key("amends.saga.ended")      // whether the transition ended the saga
	AttrDuration    = attribute.Key("amends.saga.duration_seconds")
	AttrEvent       = attribute.Key("amends.event") // started, step_answered, timer_fired, operation_taken or clock_adjusted
	AttrTimer       = attribute.Key("amends.timer") // timeout, retry, deadline
	AttrStep        = attribute.Key("amends.step.name")
	AttrDirection   = attribute.Key("amends.step.direction") // do, undo
	AttrAttempt     = attribute.Key("amends.step.attempt")
	AttrOutcome     = attribute.Key("amends.step.outcome") // completed, rejected, failed
	AttrOperation   = attribute.Key("amends.operation")
	AttrReason      = attribute.Key("amends.reason")
	AttrParticipant = attribute.Key("amends.participant")
	AttrAction      = attribute.Key("amends.action")
	AttrCalled      = attribute.Key("amends.handler.called") // false if the inbox answered instead of the handler
	AttrLinkOf      = attribute.Key("amends.link")           // the kind of link: answer, request, wait
)

// System is the messaging system. The conventions do not list nats, but allow further systems in
// lower case.
const System = "nats"

func tracer(provider trace.TracerProvider) trace.Tracer {
	return provider.Tracer(Scope, trace.WithSchemaURL(SchemaURL))
}

// message returns the attributes of an operation on a message. operation is one of the operation
// types in the conventions.
func message(e *transport.Envelope, operation attribute.KeyValue, name string) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 20)
	attrs = append(attrs, semconv.MessagingSystemKey.String(System), operation, semconv.MessagingOperationName(name),
		semconv.MessagingDestinationName(e.Subject), semconv.MessagingMessageConversationID(string(e.Saga)), AttrSagaID.String(string(e.Saga)))
	if e.Definition.Name != "" {
		attrs = append(attrs, AttrDefinition.String(e.Definition.String()))
	}
	if e.ID != "" {
		attrs = append(attrs, semconv.MessagingMessageID(e.ID))
	}
	return attrs
}
