package observe

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"
)

// Handler holds the content of the HTTP endpoints.
type Handler struct {
	Metrics http.Handler                // /metrics; may be nil
	Live    func(context.Context) error // an error means: restart the process; nil means always live
	Ready   func(context.Context) error // an error means: send no work; nil means always ready
	Stands  func() []string             // lines about standstills of a ready process; may be nil
	Pprof   bool                        // serve /debug/pprof/; only for a loopback address
}

// Mux returns a mux with these endpoints; the caller may add more endpoints:
//
//	/livez    200 "ok", or 503 and the reason: restart the process
//	/readyz   200 "ok" and a line for each standstill; or 503 and the reason: send no work
//	/healthz  the same as /readyz
//	/metrics  Prometheus text format
func (h Handler) Mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", probe(h.Live, nil))
	mux.HandleFunc("GET /readyz", probe(h.Ready, h.Stands))
	mux.HandleFunc("GET /healthz", probe(h.Ready, h.Stands))
	if h.Metrics != nil {
		mux.Handle("GET /metrics", h.Metrics)
	}
	if h.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// Timeouts and limits of a Server. Handlers with longer responses, such as profiles, backups and
// streams, extend the timeouts with an http.ResponseController.
const (
	HeaderLimit = 5 * time.Second  // for the headers of a request, and for a TLS handshake
	ReadLimit   = 30 * time.Second // for a whole request
	WriteLimit  = time.Minute      // for a response, from the request headers on; for each part of a stream
	IdleLimit   = 2 * time.Minute  // between two requests
	MaxHeader   = 64 << 10         // bytes of headers
)

// Server returns an HTTP server for handler, with limits for slow clients.
func Server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: HeaderLimit,
		ReadTimeout:       ReadLimit,
		WriteTimeout:      WriteLimit,
		IdleTimeout:       IdleLimit,
		MaxHeaderBytes:    MaxHeader,
		HTTP2:             &http.HTTP2Config{WriteByteTimeout: WriteLimit, SendPingTimeout: ReadLimit},
	}
}

func probe(check func(context.Context) error, more func() []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if check != nil {
			if err := check(r.Context()); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = fmt.Fprintln(w, err)
				return
			}
		}
		_, _ = fmt.Fprintln(w, "ok")
		if more != nil {
			for _, line := range more() {
				_, _ = fmt.Fprintln(w, line)
			}
		}
	}
}
