// Package tracing follows messages with OpenTelemetry: what participants,
// callers and the coordinator's own tracer share.
//
//	caller         coordinator                    participant
//	send ────────▶ started ──┬── command ───────▶ process
//	               answered ◀┼┄┄ link ┄┄┄ answer ┄┄┄┘
//	               timer    ◀┘┄┄ link to the transition before the wait
//
// It uses OpenTelemetry's API alone: the TracerProvider is the service's own, or
// that of internal/otlp. Spans and attributes follow OpenTelemetry's semantic
// conventions for messaging, with what is about sagas under amends.*; the names
// are constants in attribute.go and listed in docs/OBSERVABILITY.md.
//
// It does not export anything. Participants and callers without it compile no
// OpenTelemetry (ADR 0012).
//
// Failure looks like a missing span, and never like a failed command: a trace
// context that cannot be read counts as none.
package tracing
