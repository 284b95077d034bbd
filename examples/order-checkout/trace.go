package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// lastSpans limits how long the program waits for the collector when the program ends.
const lastSpans = 2 * time.Second

// traces starts the export of spans as configured by the OTEL_* variables. It returns a nil
// provider if these variables do not configure an export. A service with its own OpenTelemetry
// set-up would use the provider of that set-up instead.
func traces(ctx context.Context, name string, logger *slog.Logger) (provider trace.TracerProvider, stop func(), err error) {
	to := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") + os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if to == "" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx) // reads the OTEL_* variables
	if err != nil {
		return nil, nil, err
	}
	spans := sdk.NewTracerProvider(sdk.WithBatcher(exporter),
		sdk.WithResource(resource.NewWithAttributes(semconv.SchemaURL, semconv.ServiceName(name))))
	return spans, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
		defer cancel()
		if err := spans.Shutdown(ctx); err != nil { // the last spans are not worth a longer wait
			logger.Warn("the last spans were not sent", "error", err)
		}
	}, nil
}
