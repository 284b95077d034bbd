package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/examples/order-checkout/audit"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/examples/order-checkout/load"
	"github.com/amends-dev/amends/examples/order-checkout/progress"
	"github.com/amends-dev/amends/observe/tracing"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// loadCmd places orders at a coordinator in a separate process.
type loadCmd struct {
	ordersFlags
	Data    string `type:"path" default:"/data" env:"DATA" help:"Write down here which orders were accepted, for the audit."`
	NATSURL string `name:"nats-url" env:"NATS_URL" default:"nats://127.0.0.1:4222" help:"The NATS server of the coordinator and the services."`
	Console string `name:"console-url" env:"CONSOLE_URL" help:"Where the coordinator's console is; it is printed."`
}

// Run implements the command.
func (c loadCmd) Run(ctx context.Context, t *terminal) error {
	orders, err := c.read()
	if err != nil {
		return err
	}
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: c.NATSURL, Name: "customers"})
	if err != nil {
		return err
	}
	defer bus.Close() // nothing is in flight
	provider, stopTraces, err := traces(ctx, "customers", slog.New(slog.NewTextHandler(t.out, nil)))
	if err != nil {
		return err
	}
	defer stopTraces()
	var options []client.Option
	if provider != nil {
		options = append(options, client.Tracing(tracing.Client(provider)))
	}
	if c.Console != "" {
		fmt.Fprintf(t.out, "Watch the orders in the console: %s\n\n", c.Console)
	}
	board := progress.New(t.out, len(orders))
	err = place(ctx, bus, client.New(bus, options...), orders, c.Every, c.Data, board)
	if err == nil {
		fmt.Fprintf(t.out, "\nAll orders have ended: %d.\n", len(orders))
	}
	return interrupted(ctx, err)
}

// place places the orders, follows them to their ends, and waits until the bus holds no commands.
func place(ctx context.Context, bus *natsbus.Bus, c *client.Client, orders []checkout.Order, every time.Duration, dir string, board *progress.Board) error {
	defer board.Close()
	placed, err := placedFile(dir)
	if err != nil {
		return err
	}
	defer placed.Close() // every line was synced when it was written
	if err := load.Run(ctx, load.Config{Client: c, Orders: orders, Every: every, Placed: placed, Viewer: board}); err != nil {
		return err
	}
	return quiet(ctx, bus)
}

func placedFile(dir string) (io.WriteCloser, error) {
	path := filepath.Join(dir, "load", audit.PlacedFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// quietLimit limits the wait for remaining commands that no saga waits for.
const quietLimit = time.Minute

// quiet waits until the stream of commands is empty.
func quiet(ctx context.Context, bus *natsbus.Bus) error {
	ctx, cancel := context.WithTimeout(ctx, quietLimit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		load, err := bus.Load(ctx)
		if err == nil && load.Streams[transport.StreamCommands].Messages == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("commands remain on the bus, and no service takes them: %w", ctx.Err())
		}
	}
}
