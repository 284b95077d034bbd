package otlp

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/amends-dev/amends/internal/masked"
)

// Config of an Exporter. The zero value of each field means its default.
type Config struct {
	// Endpoint is the base URL of the collector, such as http://127.0.0.1:4318;
	// /v1/traces is added. Default: what OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or
	// OTEL_EXPORTER_OTLP_ENDPOINT say, which is https://localhost:4318 without them.
	Endpoint string
	// Service is service.name, unless OTEL_SERVICE_NAME or
	// OTEL_RESOURCE_ATTRIBUTES give one. Default: "amends".
	Service string
	// Version is service.version. Default: none.
	Version string
	// Queue bounds the spans that have ended and not been sent; what ends beyond
	// it is dropped. Default: OTEL_BSP_MAX_QUEUE_SIZE, or 2048.
	Queue int
	// Logger is told when the collector fails and when it is back. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Wanted reports whether spans are to be sent: an endpoint was given, as an
// argument or in OpenTelemetry's environment variables, and nothing there says
// otherwise. env looks a variable up, "" if it is not set. An error says which
// value cannot be used.
func Wanted(endpoint string, env func(string) string) (bool, error) {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	exporter := env("OTEL_TRACES_EXPORTER")
	switch exporter {
	case "", "otlp":
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: use otlp or none", exporter)
	}
	if endpoint == "" && exporter == "" && env("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return false, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := env(name); protocol != "" {
			if protocol != "http/protobuf" {
				return false, fmt.Errorf("%s is %q: only http/protobuf is spoken here; collectors take it on port 4318", name, protocol)
			}
			break
		}
	}
	return true, CheckEndpoint(endpoint)
}

// CheckEndpoint says what is wrong with Config.Endpoint; "" is right.
func CheckEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		err = fmt.Errorf("scheme %q, host %q", u.Scheme, u.Host)
	}
	if err != nil {
		return fmt.Errorf("%q is not the address of a collector; write its base URL, such as http://127.0.0.1:4318 (%w)", masked.URLs(endpoint), masked.Error(err))
	}
	return nil
}
