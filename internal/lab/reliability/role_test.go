//go:build linux && lab

package reliability

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// play runs a process in its role. It prints to standard output when it is ready, and its address.
func play(ctx context.Context, role string) error {
	dir, url := os.Getenv(dirEnv), os.Getenv(urlEnv)
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ready := func(where string) { fmt.Println("ready", where) }
	switch role {
	case "bus":
		return playBus(ctx, dir, ready)
	case "coordinator":
		return playCoordinator(ctx, server.Config{
			DataDir: dir, NATS: server.NATS{URL: url}, Definitions: []*saga.Definition{transferMoney},
			Logger:   logger,
			TakeOver: os.Getenv(takeOverEnv) != "",
		}, ready)
	case "serve": // started like a real coordinator
		os.Exit(cli.Run(ctx, []string{"serve", "--data-dir", dir, "--nats-url", url, "--http", ""}, os.Stdin, os.Stdout, os.Stderr))
		return nil
	default:
		return world.Serve(ctx, world.Service{
			Name: role, Dir: dir, Bus: natsbus.Config{URL: url, Logger: logger},
			Forgetful: os.Getenv(plantEnv) == "forgetful", Ready: func() { ready("") },
		})
	}
}

func playCoordinator(ctx context.Context, c server.Config, ready func(string)) error {
	s, err := server.Start(ctx, c)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped during its start
		}
		return err
	}
	ready("")
	select {
	case <-ctx.Done():
	case <-s.Stopped():
	}
	return s.Stop(context.WithoutCancel(ctx))
}

func playBus(ctx context.Context, dir string, ready func(string)) error {
	nats, err := embedded.Start(embedded.Config{StoreDir: dir, Port: -1, ReadyTimeout: time.Minute})
	if err != nil {
		return err
	}
	ready(nats.ClientURL())
	<-ctx.Done()
	nats.Shutdown()
	return nil
}
