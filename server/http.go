package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/console"
	"github.com/amends-dev/amends/internal/httpapi"
	"github.com/amends-dev/amends/internal/observe"
	"github.com/amends-dev/amends/transport"
)

// isReady returns nil if the coordinator is ready, and otherwise the reason.
func (s *Server) isReady(ctx context.Context) error {
	c := s.coord.Load()
	switch {
	case s.stops.Load():
		return errors.New("stopping")
	case c == nil:
		return errors.New("starting")
	}
	return c.Ready(ctx)
}

// stands returns a sentence for each part that is stalled.
func (s *Server) stands() (lines []string) {
	if c := s.coord.Load(); c != nil {
		for _, one := range c.Standstills() {
			lines = append(lines, one.String())
		}
	}
	return lines
}

func (s *Server) startHTTP(ctx context.Context) error {
	if s.config.HTTP == "" {
		return nil
	}
	cert := s.files.http
	l, err := listen(ctx, "http", s.config.HTTP)
	if err != nil {
		return err
	}
	guard, err := s.guard(cert, l)
	if err != nil {
		_ = l.Close()
		return err
	}
	mux := observe.Handler{Metrics: s.metrics.Handler(), Ready: s.isReady, Stands: s.stands, Pprof: s.config.Pprof}.Mux()
	s.mountBackup(mux)
	s.mountAPI(mux)
	guard.Mount(mux)
	server := observe.Server(guard.Guard(mux))
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC without TLS needs it
	server.ErrorLog = slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelWarn)
	serve := server.Serve
	if cert != nil {
		server.TLSConfig = cert.Config()
		server.Protocols.SetHTTP2(true)
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	s.listen = l
	s.sayOpen()
	go func() {
		if err := serve(access.Limit(l, access.MaxConnections)); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	s.closing("health and metrics", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			return server.Close() // closes the connection of a profile or backup in progress
		}
		return nil
	})
	return nil
}

// scheme returns the scheme of the HTTP URL.
func (s *Server) scheme() string {
	if s.config.TLSCert != "" {
		return "https://"
	}
	return "http://"
}

// sayOpen logs which operations the HTTP address allows without a key.
func (s *Server) sayOpen() {
	if s.config.API == APIInsecure && !localAddress(s.config.HTTP) {
		s.config.Logger.Warn("everybody who can reach the HTTP address can start and operate sagas and register definitions; let only trusted networks reach it, or require authentication: --tokens or --oidc-issuer",
			slog.String("http", s.config.HTTP))
	}
}

// guard returns the access control for the HTTP address on which l listens.
func (s *Server) guard(certificate *access.Certificate, l net.Listener) (*access.Access, error) {
	c := s.config.Access.config()
	c.Logger, c.Secure, c.Certificate = s.config.Logger, s.config.Plaintext, certificate
	c.Open, c.Hosts = s.config.API != APILocal, slices.Clone(c.Hosts)
	for _, address := range []string{s.config.HTTP, l.Addr().String()} { // the configured and the bound address
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
			c.Hosts = append(c.Hosts, host)
		}
	}
	return access.New(c)
}

// mountAPI serves the API and the console, unless they are disabled.
func (s *Server) mountAPI(mux *http.ServeMux) {
	if s.config.API == APIOff {
		return
	}
	httpapi.Mount(mux, httpapi.Config{Coordinator: handler{s}, Ready: s.isReady, Redact: s.config.Redact, MaxStreams: s.config.MaxStreams, MaxWaits: s.config.MaxWaits})
	mux.Handle("/", console.Handler())
}

// handler forwards requests to the coordinator, once there is one.
type handler struct{ *Server }

// Serve serves requests of package httpapi.
func (h handler) Serve(ctx context.Context, method string, request *transport.Envelope, query any) (any, error) {
	c := h.coord.Load()
	if c == nil || h.stops.Load() {
		return nil, &api.Error{Code: api.CodeUnavailable, Reason: "the coordinator is starting or stopping; try again"}
	}
	return c.Serve(ctx, method, request, query)
}

// Request serves requests of a client in this process.
func (h handler) Request(ctx context.Context, request *transport.Envelope) (*transport.Envelope, error) {
	c := h.coord.Load()
	if c == nil || h.stops.Load() {
		return nil, transport.ErrNoResponders
	}
	method := strings.TrimPrefix(request.Subject, transport.Subjects{Prefix: h.config.Prefix}.API(""))
	return c.Handle(ctx, method, request), nil
}
