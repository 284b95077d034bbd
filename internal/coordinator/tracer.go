package coordinator

import (
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Tracer records sagas in a tracing system; internal/observe implements it for OpenTelemetry. Trace
// contexts are W3C traceparents. The Tracer's methods are called from many goroutines for every
// transition, and must not block.
//
// Root and Transit depend only on their arguments. Messages that are sent after a restart, or sent
// again, therefore belong to the same trace. See ADR 0012.
type Tracer interface {
	// Root returns the trace context that a new saga keeps until it ends: the caller's context, or a
	// context derived from the saga's id if the caller's context is missing or invalid.
	Root(id contract.SagaID, caller string) string
	// Transit returns the trace context of the transition that brings a saga to a revision.
	// Messages that the transition enqueues carry this context. root is the result of Root.
	Transit(id contract.SagaID, revision uint64, root string) string
	// Transition reports one accepted event, after its commit.
	Transition(Transition)
}

// traced returns the trace context for the messages that a saga's current revision enqueues.
func (w *writer) traced(in *machine.Instance) string {
	if w.tracer == nil {
		return in.TraceParent
	}
	return w.tracer.Transit(in.ID, in.Revision, in.TraceParent)
}

// trace reports a transition to the tracer, with the message that caused it.
func (s *shard) trace(w *work, t Transition) {
	if s.c.config.Tracer == nil {
		return
	}
	e := w.request
	if w.delivery != nil {
		e = w.delivery.Envelope()
	}
	if e != nil {
		t.Cause, t.Subject = e.TraceParent, e.Subject
	}
	s.c.config.Tracer.Transition(t)
}
