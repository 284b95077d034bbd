package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/transport"
)

// Scope is the instrumentation scope of all spans.
const Scope = "github.com/amends-dev/amends"

// SchemaURL says which release of the semantic conventions the spans follow.
const SchemaURL = semconv.SchemaURL

// Attributes of spans that are about sagas; the messaging ones are OpenTelemetry's.
const (
	AttrSagaID      = attribute.Key("amends.saga.id")
	AttrDefinition  = attribute.Key("amends.saga.definition") // name/version
	AttrRevision    = attribute.Key("amends.saga.revision")   // to which a transition moved the saga
	AttrPhase       = attribute.Key("amends.saga.phase")      // behind a transition
	AttrEnded       = attribute.Key("amends.saga.ended")      // the transition ended the saga
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
	AttrCalled      = attribute.Key("amends.handler.called") // false: answered from the inbox
	AttrLinkOf      = attribute.Key("amends.link")           // of a link: answer, request, wait
)

// System is the messaging system. The conventions know no nats yet; they allow
// others in lower case.
const System = "nats"

func tracer(provider trace.TracerProvider) trace.Tracer {
	return provider.Tracer(Scope, trace.WithSchemaURL(SchemaURL))
}

// message are the attributes of an operation on a message: type is one of the
// conventions' operation types.
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
