package coordinator

import "github.com/amends-dev/amends/contract"

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
