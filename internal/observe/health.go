package observe

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"
)

// Handler says what the HTTP handler shows.
type Handler struct {
	Metrics http.Handler                // nil: no /metrics
	Live    func(context.Context) error // nil: always live. Live means: do not restart the process
	Ready   func(context.Context) error // nil: always ready. Ready means: send work here
	Stands  func() []string             // what stands still although the process is ready; nil: nothing
	Pprof   bool                        // profiles under /debug/pprof/; for a loopback address only
}

// Mux returns a mux with the endpoints, to which the caller may add their own:
//
//	/livez    200 "ok", or 503 and the reason: the process should be restarted
//	/readyz   200 "ok" and, a line each, what stands still all the same; or 503 and the reason: it takes no work now
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

// Limits of a Server. A handler that takes longer to answer takes them off with an
// http.ResponseController: profiles, backups and streams do.
const (
	HeaderLimit = 5 * time.Second  // for the headers of a request, and a TLS handshake
	ReadLimit   = 30 * time.Second // for a whole request
	WriteLimit  = time.Minute      // for an answer, from the headers of its request on; a minute for each part of a stream
	IdleLimit   = 2 * time.Minute  // between two requests
	MaxHeader   = 64 << 10         // bytes of headers
)

// Server returns an HTTP server for handler whose limits keep one slow client
// from holding anything for long.
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
