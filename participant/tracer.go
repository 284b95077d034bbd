package participant

import (
	"context"

	"github.com/amends-dev/amends/transport"
)

// Tracer records commands in a tracing system; observe/tracing provides one for OpenTelemetry. Its
// methods are called from many goroutines and must not block.
type Tracer interface {
	// Command starts the span of a command that is about to be answered. The returned context is
	// passed to the handler, so that its calls join the trace.
	Command(ctx context.Context, command *transport.Envelope) (context.Context, Span)
}

// Span covers one command until its answer.
type Span interface {
	// Context returns the W3C trace context for the answer.
	Context() (traceParent, traceState string)
	// End is called once, with the outcome.
	End(Report)
}

// Trace records every command with t; default: none, and answers carry the trace context of their
// command.
func Trace(t Tracer) Option {
	return func(o *options) { o.tracer = t }
}

// begin starts the command's span if there is a tracer.
func (v *invocation[Tx]) begin(ctx context.Context) context.Context {
	if v.p.options.tracer != nil {
		ctx, v.span = v.p.options.tracer.Command(ctx, v.command)
	}
	return ctx
}

// end ends the command's span if there is one.
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
