package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/examples/order-checkout/progress"
	"github.com/amends-dev/amends/examples/order-checkout/service"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

// demoCmd runs everything in one process.
type demoCmd struct {
	ordersFlags
	Once    bool   `help:"Exit after the audit; exit code 1: the books do not balance."`
	Data    string `type:"path" placeholder:"DIR" help:"Keep databases, streams and the log here. Default: a temporary directory."`
	NATSURL string `name:"nats-url" placeholder:"URL" help:"Use this NATS server instead of an embedded one."`
}

// Run implements the command.
func (c demoCmd) Run(ctx context.Context, t *terminal) (err error) {
	orders, err := c.read()
	if err != nil {
		return err
	}
	dir, done, err := c.directory()
	if err != nil {
		return err
	}
	defer func() { done(err, t.out) }()
	log, err := os.OpenFile(filepath.Join(dir, "demo.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the log may be incomplete
	d := &demo{
		demoCmd: c, dir: dir, out: t.out,
		logger: slog.New(slog.NewJSONHandler(log, nil)),
		board:  progress.New(t.out, len(orders)),
	}
	return d.run(ctx, func(ctx context.Context, coordinator *server.Server) error {
		a := coordinator.Addresses()
		fmt.Fprintf(t.out, "NATS at %s, the coordinator on bbolt, and four services on SQLite are up in %s.\nWatch the orders in the console: %s/\n\n", a.NATS, dir, a.HTTP)
		bus, err := coordinator.Connect(ctx, "customers")
		if err != nil {
			return err
		}
		defer bus.Close() // nothing is in flight
		if err := place(ctx, bus, client.New(bus), orders, c.Every, dir, d.board); err != nil {
			return err
		}
		if err := printAudit(ctx, dir, d.board, t.out); c.Once || err != nil {
			return err
		}
		d.invite(a, orders[0].OrderID)
		<-ctx.Done()
		return nil
	})
}

// directory returns the data directory and a clean-up function. The clean-up removes a temporary
// directory unless something failed.
func (c demoCmd) directory() (dir string, done func(error, io.Writer), err error) {
	if c.Data != "" {
		return c.Data, func(error, io.Writer) {}, os.MkdirAll(c.Data, 0o700)
	}
	dir, err = os.MkdirTemp("", "order-checkout-")
	return dir, func(err error, out io.Writer) {
		if err != nil && !errors.Is(err, errInterrupted) {
			fmt.Fprintf(out, "Databases, streams and the log are kept in %s.\n", dir)
			return
		}
		_ = os.RemoveAll(dir)
	}, err
}

// demo runs all components in one process.
type demo struct {
	demoCmd
	dir    string
	out    io.Writer
	logger *slog.Logger
	board  *progress.Board
}

// run starts the coordinator and the services, and calls body once all of them accept work. After
// body has returned, it stops the services and then the coordinator.
func (d *demo) run(ctx context.Context, body func(context.Context, *server.Server) error) error {
	coordinator, err := server.New(server.Config{
		DataDir: filepath.Join(d.dir, "coordinator"), NATS: server.NATS{URL: d.NATSURL},
		HTTP: "127.0.0.1:0", Logger: d.logger,
	})
	if err != nil {
		return err
	}
	g, running := errgroup.WithContext(context.WithoutCancel(ctx))
	running, stop := context.WithCancel(running)
	defer stop()
	g.Go(func() error { return coordinator.Run(running) })
	g.Go(func() error {
		defer stop()
		select {
		case <-coordinator.Started():
			return d.services(ctx, running, coordinator, body)
		case <-ctx.Done():
			return ctx.Err()
		case <-running.Done():
			return nil
		}
	})
	return interrupted(ctx, g.Wait())
}

// services runs the services while body runs.
func (d *demo) services(ctx, running context.Context, coordinator *server.Server, body func(context.Context, *server.Server) error) error {
	g, serving := errgroup.WithContext(running)
	serving, stop := context.WithCancel(serving)
	defer stop()
	up := make(chan string, 100)
	for _, name := range service.Names {
		g.Go(func() error {
			return service.Run(serving, service.Config{
				Name: name, DataDir: d.dir, Connect: coordinator.Connect, Logger: d.logger, Say: d.board.Say,
				Ready: func(*natsbus.Bus) { up <- name },
			})
		})
	}
	g.Go(func() error {
		defer stop()
		defer d.board.Close()
		for range service.Names {
			select {
			case <-up:
			case <-serving.Done():
				return nil
			}
		}
		working, cancel := context.WithCancel(serving)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return body(working, coordinator)
	})
	return g.Wait()
}

// interrupted returns errInterrupted for an error that was caused by the end of ctx.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	return err
}

// errInterrupted means that the user pressed Ctrl-C.
var errInterrupted = errors.New("interrupted")

// invite prints suggestions of what users can try while everything is running.
func (d *demo) invite(a server.Addresses, order string) {
	fmt.Fprintf(d.out, `
Everything stays up until Ctrl-C. In another terminal:

  go run ./cmd/coordinator list --server %[5]s
  go run ./cmd/coordinator history %[2]s --server %[5]s
  go run ./examples/order-checkout load --seed %[3]d --nats-url %[1]s --data %[4]s
  go run ./examples/order-checkout audit --data %[4]s
  curl %[5]s/metrics
`, a.NATS, order, d.Seed+1, d.dir, a.HTTP)
}
