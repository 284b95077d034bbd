package client

import (
	"context"

	"github.com/amends-dev/amends/transport"
)

// Tracer records requests in a tracing system. Package observe/tracing provides a Tracer for
// OpenTelemetry. Request is called concurrently and must not block.
type Tracer interface {
	// Request starts the span of a start or an operator's decision. It writes the span's W3C trace
	// context into the request. The span's parent is the request's trace context (from
	// TraceContext), or else the span in ctx. All attempts of a request share one span. The returned
	// function ends the span and is called once.
	Request(ctx context.Context, request *transport.Envelope) (end func(error))
}

// Tracing makes t record every start, run and decision about one saga. By default there is no
// tracing.
func Tracing(t Tracer) Option {
	return option(func(c *Client) { c.tracer = t })
}

// follow starts the span of a call that changes a saga, if there is a tracer.
func (c *Client) follow(ctx context.Context, q *call) (end func(error)) {
	if c.tracer == nil || !q.moves {
		return nil
	}
	e := q.envelope
	e.Subject, e.Type, e.Saga = c.subjects.API(q.method), transport.TypeRequest, q.id
	end = c.tracer.Request(ctx, &e)
	q.envelope.TraceParent, q.envelope.TraceState = e.TraceParent, e.TraceState
	return end
}
