package natsbus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// A request on a lost connection is never answered. Callers, such as publishers, do not wait for
// its timeout.
func TestQuestionEndsWithTheConnection(t *testing.T) {
	cause := lostQuestion(t)
	for range 5 { // retry, because a slow shutdown is not a lost connection
		if errors.Is(cause, context.DeadlineExceeded) {
			cause = lostQuestion(t)
		}
	}
	if !errors.Is(cause, nats.ErrDisconnected) {
		t.Errorf("it ended with %v", cause)
	}
}

// lostQuestion stops the server during a request. It returns the reason for the end of the request.
func lostQuestion(t *testing.T) error {
	t.Helper()
	server := start(t, embedded.Config{Port: -1})
	bus := connect(t, server, func(c *natsbus.Config) { c.CheckInterval = time.Hour })
	ctx, cancel := bus.Question(context.WithoutCancel(t.Context()))
	defer cancel()
	server.Shutdown()
	<-ctx.Done()
	return context.Cause(ctx)
}

// A caller that waits for the end of another caller's check waits no longer than its own context.
func TestLookEndsWithItsContext(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), func(c *natsbus.Config) { c.CheckInterval = time.Hour })
	defer bus.Busy()()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- bus.Look(ctx) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(waitLimit):
		t.Error("it waits for ever")
	}
}

// The bus leaves a server that cannot reach the streams for long and connects to another one of the
// cluster. It stays with a server that answers, or that has recently reached the streams.
func TestUnreachableServerIsLeft(t *testing.T) {
	first, second := start(t, embedded.Config{Port: -1, Name: "first"}), start(t, embedded.Config{Port: -1, Name: "second"})
	bus := connect(t, first, func(c *natsbus.Config) {
		c.URL = first.ClientURL() + "," + second.ClientURL()
		c.CheckInterval = time.Hour
		c.Options = append(c.Options, nats.DontRandomize())
	})
	bus.JudgeServer(nats.ErrTimeout, time.Second)
	bus.JudgeServer(nil, time.Hour)
	bus.JudgeServer(errors.New("what it says is no sign of that"), time.Hour)
	if n := bus.Stats().ForcedReconnects; n != 0 || bus.Conn().ConnectedServerName() != "first" {
		t.Fatalf("left %d times, now at %s", n, bus.Conn().ConnectedServerName())
	}
	bus.JudgeServer(nats.ErrTimeout, time.Minute)
	ctx := within(t)
	for bus.Conn().ConnectedServerName() != "second" {
		if ctx.Err() != nil {
			t.Fatalf("it stays at %q", bus.Conn().ConnectedServerName())
		}
	}
	if n := bus.Stats().ForcedReconnects; n != 1 {
		t.Errorf("%d reconnects were forced, want 1", n)
	}
}
