// Package tracing records messages as OpenTelemetry spans, for participants, callers and the
// coordinator.
//
//	caller         coordinator                    participant
//	send ────────▶ started ──┬── command ───────▶ process
//	               answered ◀┼┄┄ link ┄┄┄ answer ┄┄┄┘
//	               timer    ◀┘┄┄ link to the transition before the wait
//
// It uses only OpenTelemetry's API: the TracerProvider is the service's own, or that of
// internal/otlp. Spans and attributes follow OpenTelemetry's semantic conventions for messaging;
// attributes about sagas have the prefix amends.*. Their names are constants in attribute.go and
// listed in docs/OBSERVABILITY.md.
//
// It exports nothing. Participants and callers that do not import it do not depend on OpenTelemetry
// (ADR 0012).
//
// A failure shows as a missing span, never as a failed command: an invalid trace context counts as
// none.
package tracing
