package client

import (
	"context"

	"github.com/amends-dev/amends/transport"
)

// Tracer follows requests in a tracing system; observe/tracing makes one for
// OpenTelemetry. It is called from many goroutines and must not block.
type Tracer interface {
	// Request begins the span of a request that moves a saga, a start or an
	// operator's decision, and writes its W3C trace context into the request. If
	// the request has one already (from Trace), that is the parent; else it is in
	// ctx. However often the request is repeated, it is one span. The function
	// returned ends it, and is called once.
	Request(ctx context.Context, request *transport.Envelope) (end func(error))
}

// Follow has every request that moves a saga followed by t. Default: by nobody.
func Follow(t Tracer) Option {
	return option(func(c *Client) { c.tracer = t })
}

// follow begins the span of a call that moves a saga, if anybody follows.
func (c *Client) follow(ctx context.Context, q *call) (end func(error)) {
	if c.tracer == nil || !q.moves {
		return nil
	}
	q.envelope.Subject, q.envelope.Type = c.subjects.API(q.method), transport.TypeRequest
	return c.tracer.Request(ctx, &q.envelope)
}
