package tracing_test

import (
	"go.opentelemetry.io/otel/trace"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/observe/tracing"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
)

// A service and a caller use their own OpenTelemetry setup.
func Example() {
	var provider trace.TracerProvider // for example, otel.GetTracerProvider()
	var inbox participant.Inbox[*participant.MemoryTx]
	var bus transport.Requester

	serve := func() (*participant.Participant[*participant.MemoryTx], *client.Client) {
		p := participant.New("inventory", inbox, participant.Tracing(tracing.Participant(provider)))
		c := client.New(bus, client.Tracing(tracing.Client(provider)))
		return p, c
	}
	_ = serve
	// Output:
}
