// Package tracing records messages as OpenTelemetry spans, for participants, callers and the
// coordinator.
//
//	caller         coordinator                    participant
//	send ────────▶ started ──┬── command ───────▶ process
//	               answered ◀┼┄┄ link ┄┄┄ answer ┄┄┄┘
//	               timer    ◀┘┄┄ link to the transition before the wait
//
// It uses only OpenTelemetry's API. The TracerProvider comes from the service or from
// internal/otlp. Spans and attributes follow OpenTelemetry's semantic conventions for messaging.
// Attributes about sagas have the prefix amends.*; their names are constants in attribute.go, and
// docs/OBSERVABILITY.md lists them.
//
// It exports no spans itself. Participants and callers that do not import it do not depend on
// OpenTelemetry (ADR 0012).
//
// A failure causes a missing span, but never a failed command. An invalid trace context is ignored.
package tracing
