// Package otlp sends spans to a collector: OpenTelemetry's SDK with its exporter
// for OTLP over HTTP, set up so that it can never slow what it watches.
//
//	span ends ──▶ room? ──▶ queue (bounded) ──▶ batch ──▶ collector
//	                └─ no: dropped, counted          └─ refused: lost, counted
//
// It is off unless an endpoint is given, by Config or by OpenTelemetry's standard
// environment variables (OTEL_EXPORTER_OTLP_ENDPOINT and its kin, OTEL_BSP_*,
// OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME,
// OTEL_SDK_DISABLED).
//
// A service with an OpenTelemetry set-up of its own does not need it: it gives its
// own TracerProvider to observe/tracing.
//
// It keeps its part of I10: the queue is bounded, what does not fit is counted.
// Failure looks like one warning in the log and growing counts, never like a slow
// saga.
package otlp
