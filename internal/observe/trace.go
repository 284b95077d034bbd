package observe

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/observe/tracing"
)

// Tracer creates a span for each transition of a saga:
//
//	send saga.api.start              the caller
//	└─ start checkout                revision 1, the root of the saga's spans
//	   ├─ process saga.command.…     the participant
//	   ├─ answer reserve-stock       revision 2, linked to the participant's span
//	   │  └─ process saga.command.…
//	   ├─ timeout charge-card        the end of a wait, linked to the transition before
//	   └─ …
//
// The ids of these spans are derived from the saga's id and the revision. The reason is that
// messages carry these ids, and are stored before the span exists, possibly before a restart (ADR
// 0012).
type Tracer struct {
	tracer trace.Tracer
}

var _ coordinator.Tracer = (*Tracer)(nil)

// NewTracer returns a Tracer that uses the given provider. The ids of the provider must come from
// tracing.IDs, as in internal/otlp. With other ids the spans do not form a tree.
func NewTracer(provider trace.TracerProvider) *Tracer {
	return &Tracer{provider.Tracer(tracing.Scope, trace.WithSchemaURL(tracing.SchemaURL))}
}

// Root implements coordinator.Tracer. It decides once whether the saga is sampled, and stores the
// decision in the flags.
func (t *Tracer) Root(id contract.SagaID, caller string) string {
	parent, ok := tracing.Parse(caller, "")
	ctx := context.Background()
	if ok {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	} else {
		parent = trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID(id), SpanID: spanID(id, 1)})
	}
	ctx = tracing.WithIDs(ctx, parent.TraceID(), spanID(id, 1))
	_, asked := t.tracer.Start(ctx, "start") // asks the sampler; the span is never exported
	return tracing.Format(parent.WithTraceFlags(asked.SpanContext().TraceFlags()))
}

// Transit implements coordinator.Tracer.
func (t *Tracer) Transit(id contract.SagaID, revision uint64, root string) string {
	if len(root) != len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") {
		return root // neither the start of the saga nor its caller was traced
	}
	s := spanID(id, revision)
	var b [55]byte
	copy(b[:], root)
	hex.Encode(b[36:], s[:])
	return string(b[:])
}

// Transition implements coordinator.Tracer. It exports no span if the root is not sampled.
func (t *Tracer) Transition(tr coordinator.Transition) {
	root, ok := tracing.Parse(tr.TraceParent, "")
	if !ok || !root.IsSampled() {
		return
	}
	own, parent := spanID(tr.Saga, tr.Revision), spanID(tr.Saga, 1)
	if tr.Revision == 1 {
		parent = root.SpanID() // the span of the caller, or of this transition
	}
	ctx := tracing.WithIDs(context.Background(), root.TraceID(), own)
	if parent != own {
		ctx = trace.ContextWithRemoteSpanContext(ctx, root.WithSpanID(parent))
	}
	name, kind := titled(&tr)
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(tr.At),
		trace.WithAttributes(attributes(&tr)...), trace.WithLinks(links(&tr, root)...))
	if tr.After == contract.PhaseParked && tr.Before != contract.PhaseParked {
		span.SetAttributes(semconv.ErrorTypeKey.String("parked"))
		span.SetStatus(codes.Error, tr.Reason)
	}
	end := time.Now()
	if end.Before(tr.At) {
		end = tr.At
	}
	span.End(trace.WithTimestamp(end))
}

// titled returns the name and the kind of the span. The name has one value per step and definition.
func titled(tr *coordinator.Transition) (string, trace.SpanKind) {
	switch tr.Event {
	case contract.EventStarted:
		return "start " + tr.Definition.Name, trace.SpanKindConsumer
	case contract.EventStepAnswered:
		return "answer " + string(tr.Step), trace.SpanKindConsumer
	case contract.EventOperationTaken:
		return string(tr.Operation) + " " + tr.Definition.Name, trace.SpanKindConsumer
	case contract.EventTimerFired:
		if tr.Step != "" {
			return string(tr.Timer) + " " + string(tr.Step), trace.SpanKindInternal
		}
		return string(tr.Timer) + " " + tr.Definition.Name, trace.SpanKindInternal
	}
	return string(tr.Event) + " " + tr.Definition.Name, trace.SpanKindInternal
}

// links returns links to the answer or request that caused a transition. For a transition that ends
// a wait, it also returns a link to the transition that began the wait.
func links(tr *coordinator.Transition, root trace.SpanContext) []trace.Link {
	var all []trace.Link
	if cause, ok := tracing.Parse(tr.Cause, ""); ok && tr.Event != contract.EventStarted {
		kind := "answer"
		if tr.Event == contract.EventOperationTaken {
			kind = "request"
		}
		all = append(all, trace.Link{SpanContext: cause, Attributes: []attribute.KeyValue{tracing.AttrLinkOf.String(kind)}})
	}
	if tr.Event == contract.EventTimerFired || tr.Event == contract.EventOperationTaken {
		before := root.WithSpanID(spanID(tr.Saga, tr.Revision-1))
		all = append(all, trace.Link{SpanContext: before, Attributes: []attribute.KeyValue{tracing.AttrLinkOf.String("wait")}})
	}
	return all
}

func attributes(tr *coordinator.Transition) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, 20)
	all = append(all,
		tracing.AttrSagaID.String(string(tr.Saga)), tracing.AttrDefinition.String(tr.Definition.String()),
		tracing.AttrRevision.Int64(int64(tr.Revision)), tracing.AttrEvent.String(string(tr.Event)), tracing.AttrPhase.String(string(tr.After)))
	text := func(key attribute.Key, value string) {
		if value != "" {
			all = append(all, key.String(value))
		}
	}
	text(tracing.AttrTimer, string(tr.Timer))
	text(tracing.AttrStep, string(tr.Step))
	text(tracing.AttrDirection, string(tr.Direction))
	if tr.Attempt > 0 {
		all = append(all, tracing.AttrAttempt.Int(tr.Attempt))
	}
	text(tracing.AttrOutcome, string(tr.Outcome))
	text(tracing.AttrParticipant, tr.Participant)
	text(tracing.AttrOperation, string(tr.Operation))
	text(tracing.AttrReason, tr.Reason)
	if tr.Ended {
		all = append(all, tracing.AttrEnded.Bool(true), tracing.AttrDuration.Float64(tr.At.Sub(tr.Started).Seconds()))
	}
	if tr.Subject != "" {
		all = append(all,
			semconv.MessagingSystemKey.String(tracing.System), semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
			semconv.MessagingDestinationName(tr.Subject), semconv.MessagingMessageConversationID(string(tr.Saga)))
	}
	return all
}

// TraceID returns the trace id, in hexadecimal, of a saga whose caller sent no trace context.
func TraceID(id contract.SagaID) string { return traceID(id).String() }

// traceID returns the trace id of a saga whose caller sent no trace context.
func traceID(id contract.SagaID) (t trace.TraceID) {
	sum := sha256.Sum256([]byte("trace\x00" + string(id)))
	copy(t[:], sum[:])
	return t
}

// spanID returns the span id of the transition that brings a saga to a revision.
func spanID(id contract.SagaID, revision uint64) (s trace.SpanID) {
	var buffer [160]byte
	b := append(append(buffer[:0], "span\x00"...), id...)
	b = binary.BigEndian.AppendUint64(append(b, 0), revision)
	sum := sha256.Sum256(b)
	copy(s[:], sum[:])
	return s
}
