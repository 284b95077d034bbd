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

// Exporter sends spans to a collector until Shutdown. It is safe for concurrent use.
type Exporter struct {
	provider *sdk.TracerProvider
	gate     *gate
}

// Start returns an Exporter without waiting for the collector. The Exporter retries if the
// collector is unreachable.
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
		return nil, fmt.Errorf("create the span exporter: %w", err)
	}
	g := &gate{bound: int64(c.Queue), next: collector, logger: c.Logger}
	// The queue of the batcher is as long as the limit of the gate, so that the batcher never drops
	// spans without counting them.
	g.batcher = sdk.NewBatchSpanProcessor(exporting{g}, sdk.WithMaxQueueSize(c.Queue))
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(g), sdk.WithResource(described), sdk.WithIDGenerator(tracing.IDs{}))
	return &Exporter{provider: provider, gate: g}, nil
}

// describe returns the resource of the spans. Environment variables override the configuration.
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
		return nil, fmt.Errorf("detect the resource of spans: %w", err)
	}
	return r, nil
}

// TracerProvider returns the provider for observe.NewTracer, tracing.Participant and
// tracing.Client.
func (e *Exporter) TracerProvider() trace.TracerProvider { return e.provider }

// Stats holds counts of spans since the start.
type Stats struct {
	Exported uint64 // accepted by the collector
	Dropped  uint64 // discarded because the queue was full
	Failed   uint64 // refused by the collector
}

// Stats returns the counts so far.
func (e *Exporter) Stats() Stats {
	return Stats{Exported: e.gate.exported.Load(), Dropped: e.gate.dropped.Load(), Failed: e.gate.failed.Load()}
}

// Flush sends the queued spans. It gives up when ctx ends.
func (e *Exporter) Flush(ctx context.Context) error { return e.provider.ForceFlush(ctx) }

// Shutdown sends the queued spans, but gives up when ctx ends. Then it ends the exporter. Spans
// that end later are lost.
func (e *Exporter) Shutdown(ctx context.Context) error { return e.provider.Shutdown(ctx) }
