package participant

import (
	"context"

	"github.com/amends-dev/amends/transport"
)

// Tracer records commands in a tracing system. Package observe/tracing provides a Tracer for
// OpenTelemetry. The methods are called concurrently and must not block.
type Tracer interface {
	// Command starts the span of a command before it is answered. The handler gets the returned
	// context, so that its calls become part of the trace.
	Command(ctx context.Context, command *transport.Envelope) (context.Context, Span)
}

// Span covers the time from a command to its answer.
type Span interface {
	// Context returns the W3C trace context for the answer.
	Context() (traceParent, traceState string)
	// End is called once, with the result of the command.
	End(Report)
}

// Tracing records every command with t. By default nothing is recorded, and an answer has the trace
// context of its command.
func Tracing(t Tracer) Option {
	return func(o *options) { o.tracer = t }
}

// begin starts the command's span, if there is a tracer.
func (v *invocation[Tx]) begin(ctx context.Context) context.Context {
	if v.p.options.tracer != nil {
		ctx, v.span = v.p.options.tracer.Command(ctx, v.command)
	}
	return ctx
}

// end ends the command's span, if there is one.
func (v *invocation[Tx]) end(r Report) {
	if v.span != nil {
		v.span.End(r)
	}
}

// traceContext returns the trace context for the answer.
func (v *invocation[Tx]) traceContext() (traceParent, traceState string) {
	if v.span != nil {
		return v.span.Context()
	}
	return v.command.TraceParent, v.command.TraceState
}
