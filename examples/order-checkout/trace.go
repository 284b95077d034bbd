package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/internal/otlp"
)

// lastSpans bounds how long the end of a program waits for its collector.
const lastSpans = 2 * time.Second

// traces begins to send spans where OpenTelemetry's OTEL_* variables say; nil
// when they say nothing. A service with an OpenTelemetry set-up of its own takes
// its provider instead.
func traces(ctx context.Context, name string, logger *slog.Logger) (provider trace.TracerProvider, stop func(), err error) {
	wanted, err := otlp.Wanted("", os.Getenv)
	if err != nil || !wanted {
		return nil, func() {}, err
	}
	e, err := otlp.Start(ctx, otlp.Config{Service: name, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return e.TracerProvider(), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
		defer cancel()
		_ = e.Shutdown(ctx) // the last spans are not worth waiting longer
	}, nil
}
