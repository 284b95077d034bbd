// Package otlp sends spans to a collector with OpenTelemetry's SDK and its OTLP/HTTP exporter. It
// is configured so that it never delays sagas.
//
//	span ends ──▶ room? ──▶ queue (bounded) ──▶ batch ──▶ collector
//	                └─ no: dropped, counted          └─ refused: lost, counted
//
// It is off unless Config or OpenTelemetry's environment variables set an endpoint. It supports
// OTEL_EXPORTER_OTLP_*, OTEL_BSP_*, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_SERVICE_NAME and OTEL_SDK_DISABLED.
//
// A service that configures OpenTelemetry itself does not need this package: it passes its
// TracerProvider to observe/tracing.
//
// It keeps its part of I10: the queue is limited, and dropped spans are counted. A failure causes
// one warning in the log and growing counters; it never slows down a saga.
package otlp
