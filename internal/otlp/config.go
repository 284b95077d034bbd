package otlp

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/amends-dev/amends/internal/masked"
)

// Config configures an Exporter. The zero value of each field selects its default.
type Config struct {
	// Endpoint is the base URL of the collector, such as http://127.0.0.1:4318; /v1/traces
	// is appended. Default: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or
	// OTEL_EXPORTER_OTLP_ENDPOINT, or else https://localhost:4318.
	Endpoint string
	// Service is the resource attribute service.name. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
	// override it. Default: "amends".
	Service string
	// Version is the resource attribute service.version. Default: none.
	Version string
	// Queue is the maximum number of ended spans that wait to be sent. Further spans are dropped.
	// Default: OTEL_BSP_MAX_QUEUE_SIZE, or 2048.
	Queue int
	// Logger logs when the collector fails and when it recovers. Default: slog.Default().
	Logger *slog.Logger
}

// Wanted reports whether spans are to be sent: an endpoint is set, as an argument or in
// OpenTelemetry's environment variables, and these variables do not disable tracing. env returns
// the value of a variable, or "" if it is not set. Wanted returns an error for an invalid value.
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
				return false, fmt.Errorf("%s is %q: only http/protobuf is supported; collectors accept it on port 4318", name, protocol)
			}
			break
		}
	}
	return true, CheckEndpoint(endpoint)
}

// CheckEndpoint returns an error if endpoint is not a valid Config.Endpoint.
func CheckEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		err = fmt.Errorf("scheme %q, host %q", u.Scheme, u.Host)
	}
	if err != nil {
		return fmt.Errorf("%q is not the URL of a collector; write its base URL, such as http://127.0.0.1:4318 (%w)", masked.URLs(endpoint), masked.Error(err))
	}
	return nil
}
