package otlp_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/amends-dev/amends/internal/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, c otlp.Config) *otlp.Exporter {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := otlp.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestHangingCollector checks that a collector that hangs does not block: spans are dropped and
// counted (I10). If the end of a span waited for the collector, no span would be dropped.
func TestHangingCollector(t *testing.T) {
	hold := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	t.Cleanup(hanging.Close)
	const queue, spans = 16, 10_000
	e := start(t, otlp.Config{Endpoint: hanging.URL, Queue: queue})
	t.Cleanup(func() { close(hold) })
	tracer := e.TracerProvider().Tracer("test")
	for range spans {
		_, span := tracer.Start(t.Context(), "one")
		span.End()
	}
	if s := e.Stats(); s.Dropped != spans-queue || s.Exported != 0 {
		t.Errorf("%+v; want %d dropped with a queue of %d", s, spans-queue, queue)
	}
}

// TestRefusingCollector checks that refused spans are counted, leave the queue, and are logged
// once.
func TestRefusingCollector(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(refusing.Close)
	var log strings.Builder
	e := start(t, otlp.Config{Endpoint: refusing.URL, Queue: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		for range 2 {
			_, span := e.TracerProvider().Tracer("test").Start(t.Context(), "one")
			span.End()
		}
		if err := e.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Stats(); s != (otlp.Stats{Failed: 6}) {
		t.Errorf("%+v, want 6 failed and nothing dropped", s)
	}
	if n := strings.Count(log.String(), "the trace collector failed"); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, &log)
	}
}

func TestWanted(t *testing.T) {
	for name, tt := range map[string]struct {
		endpoint string
		env      map[string]string
		want     bool
		wrong    string
	}{
		"nothing is said":       {},
		"a flag":                {endpoint: "http://c:4318", want: true},
		"a variable":            {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, want: true},
		"of traces alone":       {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, want: true},
		"the default collector": {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, want: true},
		"no exporter":           {endpoint: "http://c:4318", env: map[string]string{"OTEL_TRACES_EXPORTER": "none"}},
		"disabled":              {endpoint: "http://c:4318", env: map[string]string{"OTEL_SDK_DISABLED": "true"}},
		"another exporter":      {env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, wrong: "use otlp or none"},
		"grpc":                  {endpoint: "http://c:4317", env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, wrong: "http/protobuf"},
		"no address":            {endpoint: "c:4318", wrong: "http://127.0.0.1:4318"},
	} {
		got, err := otlp.Wanted(tt.endpoint, func(name string) string { return tt.env[name] })
		switch {
		case tt.wrong == "" && (err != nil || got != tt.want):
			t.Errorf("%s: %v, %v; want %v", name, got, err, tt.want)
		case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%s: error %v; want one with %q", name, err, tt.wrong)
		}
	}
}
