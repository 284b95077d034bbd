package daemon

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/console"
	"github.com/amends-dev/amends/transport"
)

// mountAPI serves the API, and the console that lives on it, unless it is switched off.
func (d *daemon) mountAPI(mux *http.ServeMux) {
	if d.API == APIOff {
		return
	}
	api.Mount(mux, api.Config{Coordinator: d, Ready: d.isReady, Guard: d.guard, Redact: d.Redact})
	mux.Handle("/", d.guard(console.Handler()))
}

// Handle passes a request on to the coordinator, once there is one.
func (d *daemon) Handle(ctx context.Context, verb string, request *transport.Envelope) *transport.Envelope {
	c := d.coord.Load()
	if c == nil || d.stops.Load() {
		return &transport.Envelope{Type: transport.TypeReply, Code: string(transport.CodeUnavailable), Reason: "the coordinator is starting or stopping; try again"}
	}
	return c.Handle(ctx, verb, request)
}

// guard keeps web pages out where nobody is asked for a key. A browser on this machine reaches the API as well as
// a program does, so it may not be lent to a page from elsewhere: neither across
// origins, nor under a name that such a page's owner makes point here.
func (d *daemon) guard(next http.Handler) http.Handler {
	if d.Access.Enabled() {
		return next // who has the key may come by any name; access.Guard has looked
	}
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if d.API == APILocal && !loopback(strings.Trim(host, "[]")) {
			http.Error(w, "the API is served to this machine only: ask it as localhost or 127.0.0.1, not as "+r.Host, http.StatusForbidden)
			return
		}
		sameOrigin.ServeHTTP(w, r)
	})
}
