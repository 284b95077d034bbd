// Package otlp sends spans to a collector with OpenTelemetry's SDK and its OTLP/HTTP
// exporter, configured so that it never delays sagas.
//
//	span ends ──▶ room? ──▶ queue (bounded) ──▶ batch ──▶ collector
//	                └─ no: dropped, counted          └─ refused: lost, counted
//
// It is off unless Config or OpenTelemetry's environment variables give an endpoint. It
// honours OTEL_EXPORTER_OTLP_*, OTEL_BSP_*, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_SERVICE_NAME and OTEL_SDK_DISABLED.
//
// A service that configures OpenTelemetry itself does not need this package: it passes its
// TracerProvider to observe/tracing.
//
// It keeps its part of I10: the queue is limited, and dropped spans are counted. Failure
// looks like one warning in the log and growing counters, never like a slow saga.
package otlp
