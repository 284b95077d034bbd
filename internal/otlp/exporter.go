package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/observe/tracing"
)

// Exporter sends spans to a collector until Shutdown. It is safe for concurrent
// use.
type Exporter struct {
	provider *sdk.TracerProvider
	gate     *gate
}

// Start makes an Exporter. It does not wait for the collector: one that cannot
// be reached is tried again and again.
func Start(ctx context.Context, c Config) (*Exporter, error) {
	if err := CheckEndpoint(c.Endpoint); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Queue <= 0 {
		c.Queue = sdk.DefaultMaxQueueSize
		if n, err := strconv.Atoi(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil && n > 0 {
			c.Queue = n
		}
	}
	described, err := describe(ctx, &c)
	if err != nil {
		return nil, err
	}
	var options []otlptracehttp.Option
	if c.Endpoint != "" {
		options = append(options, otlptracehttp.WithEndpointURL(strings.TrimRight(c.Endpoint, "/")+"/v1/traces"))
	}
	collector, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("make the exporter of spans: %w", err)
	}
	g := &gate{bound: int64(c.Queue), next: collector, logger: c.Logger}
	// The batcher's own queue has as many places as the gate lets through, so that
	// nothing is dropped there uncounted.
	g.batcher = sdk.NewBatchSpanProcessor(exporting{g}, sdk.WithMaxQueueSize(c.Queue))
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(g), sdk.WithResource(described), sdk.WithIDGenerator(tracing.IDs{}))
	return &Exporter{provider: provider, gate: g}, nil
}

// describe says who sends: the environment's word goes before ours.
func describe(ctx context.Context, c *Config) (*resource.Resource, error) {
	attrs := []attribute.KeyValue{semconv.ServiceName("amends")}
	if c.Service != "" {
		attrs[0] = semconv.ServiceName(c.Service)
	}
	if c.Version != "" {
		attrs = append(attrs, semconv.ServiceVersion(c.Version))
	}
	r, err := resource.New(ctx, resource.WithSchemaURL(semconv.SchemaURL), resource.WithAttributes(attrs...), resource.WithHost(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, fmt.Errorf("describe the service for its spans: %w", err)
	}
	return r, nil
}

// TracerProvider is what observe.NewTracer, tracing.Participant and
// tracing.Client take.
func (e *Exporter) TracerProvider() trace.TracerProvider { return e.provider }

// Stats are counts of spans since the start.
type Stats struct {
	Exported uint64 // the collector took them
	Dropped  uint64 // there was no room in the queue
	Failed   uint64 // the collector did not take them
}

// Stats says what became of the spans.
func (e *Exporter) Stats() Stats {
	return Stats{Exported: e.gate.exported.Load(), Dropped: e.gate.dropped.Load(), Failed: e.gate.failed.Load()}
}

// Flush sends what is in the queue, within ctx.
func (e *Exporter) Flush(ctx context.Context) error { return e.provider.ForceFlush(ctx) }

// Shutdown sends what is in the queue, within ctx, and ends. Spans that end
// afterwards are lost.
func (e *Exporter) Shutdown(ctx context.Context) error { return e.provider.Shutdown(ctx) }
