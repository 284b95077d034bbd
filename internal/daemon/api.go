package daemon

import (
	"context"
	"net/http"

	"github.com/amends-dev/amends/internal/api"
	"github.com/amends-dev/amends/internal/console"
	"github.com/amends-dev/amends/transport"
)

// mountAPI serves the API, and the console that lives on it, unless it is switched off.
func (d *daemon) mountAPI(mux *http.ServeMux) {
	if d.API == APIOff {
		return
	}
	api.Mount(mux, api.Config{Coordinator: d, Ready: d.isReady, Redact: d.Redact, MaxStreams: d.MaxStreams, MaxWaits: d.MaxWaits})
	mux.Handle("/", console.Handler())
}

// Handle passes a request on to the coordinator, once there is one.
func (d *daemon) Handle(ctx context.Context, method string, request *transport.Envelope) *transport.Envelope {
	c := d.coord.Load()
	if c == nil || d.stops.Load() {
		return &transport.Envelope{Type: transport.TypeReply, Code: string(transport.CodeUnavailable), Reason: "the coordinator is starting or stopping; try again"}
	}
	return c.Handle(ctx, method, request)
}
