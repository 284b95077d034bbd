package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/observe"
)

// isReady says why the daemon takes no work; nil: it does.
func (d *daemon) isReady(ctx context.Context) error {
	c := d.coord.Load()
	switch {
	case d.stops.Load():
		return errors.New("stopping")
	case c == nil:
		return errors.New("starting")
	}
	return c.Ready(ctx)
}

// stands says what does not move although it should, in sentences.
func (d *daemon) stands() (lines []string) {
	if c := d.coord.Load(); c != nil {
		for _, one := range c.Standstills() {
			lines = append(lines, one.String())
		}
	}
	return lines
}

func (d *daemon) startHTTP(ctx context.Context) error {
	if d.HTTP == "" {
		return nil
	}
	cert := d.files.http
	l, err := listen(ctx, "http", d.HTTP)
	if err != nil {
		return err
	}
	guard, err := d.guard(cert, l)
	if err != nil {
		_ = l.Close()
		return err
	}
	mux := observe.Handler{Metrics: d.metrics.Handler(), Ready: d.isReady, Stands: d.stands, Pprof: d.Pprof}.Mux()
	d.mountBackup(mux)
	d.mountAPI(mux)
	guard.Mount(mux)
	server := observe.Server(guard.Guard(mux))
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC speaks nothing else
	server.ErrorLog = slog.NewLogLogger(d.Logger.Handler(), slog.LevelWarn)
	serve := server.Serve
	if cert != nil {
		server.TLSConfig = cert.Config()
		server.Protocols.SetHTTP2(true)
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	d.listen = l
	d.sayOpen()
	go func() {
		if err := serve(access.Limit(l, access.MaxConnections)); !errors.Is(err, http.ErrServerClosed) {
			d.failed <- err
		}
	}()
	d.closing("health and metrics", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			return server.Close() // a profile or backup that still runs is cut off
		}
		return nil
	})
	return nil
}
