package coordinator

import (
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Tracer follows sagas in a tracing system; internal/observe makes one for
// OpenTelemetry. Trace contexts are W3C traceparents. Its methods are called from
// many goroutines, on the way of every transition, and must not block.
//
// Root and Transit are functions of their arguments alone, so that what is sent
// after a restart, or sent again, is part of the same trace. See ADR 0012.
type Tracer interface {
	// Root is the trace context that a new saga keeps for life: the caller's, or
	// one made from the saga's id when the caller gave none that can be used.
	Root(id contract.SagaID, caller string) string
	// Transit is the trace context of the transition that moves a saga to a
	// revision: what is pending because of it carries this. root is what Root gave.
	Transit(id contract.SagaID, revision uint64, root string) string
	// Transition is one accepted event, after its commit.
	Transition(Transition)
}

// traced is what a message of the saga's current revision carries.
func (w *writer) traced(in *machine.Instance) string {
	if w.tracer == nil {
		return in.TraceParent
	}
	return w.tracer.Transit(in.ID, in.Revision, in.TraceParent)
}

// trace tells the tracer of a transition, with the message that caused it.
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
