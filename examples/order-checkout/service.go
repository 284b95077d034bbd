package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/service"
	"github.com/amends-dev/amends/observe/tracing"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport/natsbus"
)

// serviceNames are the services of the demo.
var serviceNames = []string{"order", "inventory", "payment", "shipping"}

// serviceCmd runs one service, or all of them.
type serviceCmd struct {
	Name    string `arg:"" enum:"order,inventory,payment,shipping,all" help:"Which one: ${enum}."`
	Data    string `type:"path" default:"/data" env:"DATA" help:"The database is DIR/NAME/NAME.db."`
	NATSURL string `name:"nats-url" env:"NATS_URL" default:"nats://127.0.0.1:4222" help:"The NATS server of the coordinator."`
	HTTP    string `name:"http" env:"HTTP" default:"127.0.0.1:8081" help:"Where to serve /healthz."`
}

// Run implements the command. A crash that an order causes ends the process.
func (c serviceCmd) Run(ctx context.Context, t *terminal) error {
	var bus atomic.Pointer[natsbus.Bus]
	stop, err := serveHealth(ctx, c.HTTP, &bus)
	if err != nil {
		return err
	}
	defer stop()
	if c.Name != "all" {
		return c.run(ctx, t, c.Name, &bus)
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, name := range serviceNames {
		all.Go(func() error { return c.run(ctx, t, name, &bus) })
	}
	return all.Wait()
}

func (c serviceCmd) run(ctx context.Context, t *terminal, name string, bus *atomic.Pointer[natsbus.Bus]) error {
	logger := slog.New(slog.NewJSONHandler(t.out, nil)).With("service", name)
	provider, stopTraces, err := traces(ctx, name, logger)
	if err != nil {
		return err
	}
	defer stopTraces()
	var options []participant.Option
	if provider != nil {
		options = append(options, participant.Tracing(tracing.Participant(provider)))
	}
	return service.Run(ctx, service.Config{
		Name: name, DataDir: c.Data, Logger: logger, Options: options,
		Connect: func(ctx context.Context, name string) (*natsbus.Bus, error) {
			return natsbus.Connect(ctx, natsbus.Config{URL: c.NATSURL, Name: name, Logger: logger})
		},
		Say:   func(saga contract.SagaID, what string) { logger.Warn(what, "saga", saga) },
		Die:   func() { os.Exit(1) },
		Ready: func(b *natsbus.Bus) { bus.Store(b); logger.Info("accepting commands") },
	})
}

// serveHealth serves /healthz, which returns 200 while the service is connected.
func serveHealth(ctx context.Context, address string, bus *atomic.Pointer[natsbus.Bus]) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		err := errors.New("starting")
		if b := bus.Load(); b != nil {
			err = b.Check(r.Context())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener) //nolint:errcheck // it ends when it is closed
	return func() { _ = server.Close() }, nil
}

// healthCmd checks the health of a service.
type healthCmd struct {
	HTTP string `name:"http" env:"HTTP" default:"127.0.0.1:8081" help:"Where the service serves /healthz."`
}

// Run implements the command.
func (c healthCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.HTTP+"/healthz", http.NoBody)
	if err != nil {
		return usageError{err}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() // reading is complete
	if response.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("the service takes no commands: %s", reason)
	}
	return nil
}
