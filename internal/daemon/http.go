package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"

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
	if err := c.Ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	return d.bus.Check(ctx)
}

func (d *daemon) startHTTP(ctx context.Context) error {
	if d.HTTP == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.HTTP)
	if err != nil {
		return err
	}
	mux := observe.Handler{Metrics: d.metrics.Handler(), Ready: d.isReady, Pprof: d.Pprof}.Mux()
	mux.Handle("POST /backup", d.backup())
	d.mountAPI(mux)
	server := observe.Server(mux)
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC speaks nothing else
	d.listen = l
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
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
