package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/observe"
)

// isReady reports why the coordinator is not ready; nil: it is.
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

// stands says what does not move although it should, in sentences.
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
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC speaks nothing else
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
			return server.Close() // a profile or backup that still runs is cut off
		}
		return nil
	})
	return nil
}
