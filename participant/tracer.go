package participant

import (
	"context"

	"github.com/amends-dev/amends/transport"
)

// Tracer follows commands in a tracing system; observe/tracing makes one for
// OpenTelemetry. Its methods are called from many goroutines and must not block.
type Tracer interface {
	// Command begins the span of a command that is about to be answered. The
	// context returned is the handler's, so that what it calls is part of the
	// trace.
	Command(ctx context.Context, command *transport.Envelope) (context.Context, Span)
}

// Span is a command on its way to its answer.
type Span interface {
	// Context is the W3C trace context that the answer carries.
	Context() (traceParent, traceState string)
	// End says how the command was answered; it is called once.
	End(Report)
}

// Trace has every command followed by t; default: by nobody, and answers carry
// the trace context of their command.
func Trace(t Tracer) Option {
	return func(o *options) { o.tracer = t }
}

// begin begins the command's span if anybody follows.
func (v *invocation[Tx]) begin(ctx context.Context) context.Context {
	if v.p.options.tracer != nil {
		ctx, v.span = v.p.options.tracer.Command(ctx, v.command)
	}
	return ctx
}

// end ends the command's span if anybody follows.
func (v *invocation[Tx]) end(r Report) {
	if v.span != nil {
		v.span.End(r)
	}
}

// traceContext is what the answer carries.
func (v *invocation[Tx]) traceContext() (traceParent, traceState string) {
	if v.span != nil {
		return v.span.Context()
	}
	return v.command.TraceParent, v.command.TraceState
}
