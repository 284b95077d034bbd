package server_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store/boltstore"
)

// TestStop checks that nothing runs after Stop, and that another server can use the directory.
func TestStop(t *testing.T) {
	config := server.Config{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
	for range 2 {
		s, err := server.Start(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.Started():
		default:
			t.Error("Start has returned, and it takes no work yet")
		}
		select {
		case <-s.Stopped():
			t.Error("it has stopped by itself")
		default:
		}
		if _, err := server.Start(t.Context(), config); !errors.Is(err, boltstore.ErrLocked) {
			t.Errorf("another one on the same directory: %v", err)
		}
		for range 2 {
			if err := s.Stop(); err != nil {
				t.Errorf("Stop: %v", err)
			}
			<-s.Stopped()
		}
		if err := s.Run(t.Context()); !errors.Is(err, server.ErrRan) {
			t.Errorf("Run after Stop: %v", err)
		}
	}
}

// TestStopBeforeRun checks that a server that is stopped before it is run never runs.
func TestStopBeforeRun(t *testing.T) {
	s, err := server.New(server.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, server.ErrRan) {
		t.Errorf("Run after Stop: %v", err)
	}
}

// TestStartGivesUp checks that ctx limits only the start.
func TestStartGivesUp(t *testing.T) {
	config := server.Config{DataDir: t.TempDir(), Definitions: []*saga.Definition{refund(t)}, Logger: slog.New(slog.DiscardHandler)}
	away := config
	away.NATS.URL = "nats://127.0.0.1:1"
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := server.Start(ctx, away); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a bus: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	s, err := server.Start(ctx, config) // the directory is no longer locked
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	caller := s.Client(client.GiveUp(5 * time.Second))
	for range 20 {
		if _, err := caller.Start(t.Context(), contract.DefinitionRef{Name: "refund"}, 1); err != nil {
			t.Errorf("it ends with the context of its start: %v", err)
			break
		}
	}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
}
