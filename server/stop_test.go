package server_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/memstore"
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
			if err := s.Stop(t.Context()); err != nil {
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
	if err := s.Stop(t.Context()); err != nil {
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
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// hung is a store in which one call does not return until it is released, as on a disk that does
// not answer.
type hung struct {
	*memstore.Store
	call     string // Commit or Definitions
	entered  chan struct{}
	released chan struct{}
}

func newHung(t *testing.T, call string) *hung {
	h := &hung{memstore.New(), call, make(chan struct{}), make(chan struct{})}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *hung) hang(call string) {
	if call != h.call {
		return
	}
	select {
	case h.entered <- struct{}{}:
	case <-h.released:
	}
	<-h.released
}

func (h *hung) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	h.hang("Commit")
	return h.Store.Commit(ctx, changes)
}

func (h *hung) Definitions(ctx context.Context) ([]store.Definition, error) {
	h.hang("Definitions")
	return h.Store.Definitions(ctx)
}

var errEnough = errors.New("enough")

// TestConnectBeforeTheStart checks that Connect does not connect to the default URL, where another
// program's server may listen.
func TestConnectBeforeTheStart(t *testing.T) {
	s, err := server.New(server.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Connect(t.Context(), "early"); err == nil || !strings.Contains(err.Error(), "wait for Started") {
		t.Errorf("%v, want an error", err)
	}
}

// TestStopDoesNotWaitForever checks that Stop ends with its context while a commit hangs, and that
// the server stops once the commit has returned.
func TestStopDoesNotWaitForever(t *testing.T) {
	h := newHung(t, "Commit")
	s, err := server.Start(t.Context(), server.Config{Store: h, DataDir: t.TempDir(), Definitions: []*saga.Definition{refund(t)}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	calling, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = s.Client().Start(calling, contract.DefinitionRef{Name: "refund"}, 1)
	}()
	<-h.entered
	stopping, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	if err := s.Stop(stopping); !errors.Is(err, errEnough) {
		t.Errorf("Stop during a commit: %v", err)
	}
	select {
	case <-s.Stopped():
		t.Error("it has stopped during a commit")
	default:
	}
	close(h.released)
	<-s.Stopped()
	if err := s.Stop(stopping); err != nil {
		t.Errorf("Stop once it has stopped: %v", err)
	}
	leave()
	<-left
}

// TestStartDoesNotWaitForever checks that a start that is given up returns although a part hangs.
func TestStartDoesNotWaitForever(t *testing.T) {
	h := newHung(t, "Definitions")
	s, err := server.New(server.Config{Store: h, DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-h.entered
		cancel(errEnough)
	}()
	err = s.StartWithin(ctx, time.Millisecond)
	if !errors.Is(err, errEnough) || !strings.Contains(err.Error(), "still uses the data directory") {
		t.Errorf("a start that hangs: %v", err)
	}
	close(h.released)
	<-s.Stopped()
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}
