package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/amends-dev/amends/internal/api"
	"github.com/amends-dev/amends/internal/console"
	"github.com/amends-dev/amends/transport"
)

// mountAPI serves the API, and the console that lives on it, unless it is switched off.
func (s *Server) mountAPI(mux *http.ServeMux) {
	if s.config.API == APIOff {
		return
	}
	api.Mount(mux, api.Config{Coordinator: handler{s}, Ready: s.isReady, Redact: s.config.Redact, MaxStreams: s.config.MaxStreams, MaxWaits: s.config.MaxWaits})
	mux.Handle("/", console.Handler())
}

// handler passes requests on to the coordinator, once there is one.
type handler struct{ *Server }

// Handle is what package api calls.
func (h handler) Handle(ctx context.Context, method string, request *transport.Envelope) *transport.Envelope {
	c := h.coord.Load()
	if c == nil || h.stops.Load() {
		return &transport.Envelope{Type: transport.TypeReply, Code: string(transport.CodeUnavailable), Reason: "the coordinator is starting or stopping; try again"}
	}
	return c.Handle(ctx, method, request)
}

// Request is what a client in this process calls.
func (h handler) Request(ctx context.Context, request *transport.Envelope) (*transport.Envelope, error) {
	if h.coord.Load() == nil || h.stops.Load() {
		return nil, transport.ErrNoResponders
	}
	method := strings.TrimPrefix(request.Subject, transport.Subjects{Prefix: h.config.Prefix}.API(""))
	return h.Handle(ctx, method, request), nil
}
