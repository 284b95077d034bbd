package natsbus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestSaysWhatItWaitsFor: a program without a server or coordinator reports that immediately, even
// without a logger. In the end it stops waiting.
func TestSaysWhatItWaitsFor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // nobody listens
	said := &bytes.Buffer{}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(said, nil)))
	defer slog.SetDefault(before)
	_, err = natsbus.Connect(t.Context(), natsbus.Config{URL: "nats://alice:swordfish@" + address, ConnectWait: time.Nanosecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "gave up after 1ns") || !strings.Contains(err.Error(), address) {
		t.Errorf("it ends with %v", err)
	}
	if !strings.Contains(said.String(), `msg="waiting for NATS; is the server running there`) || !strings.Contains(said.String(), address) || strings.Contains(said.String(), "swordfish") {
		t.Errorf("it says %q", said)
	}

	s, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	said.Reset()
	bus, err := natsbus.Connect(t.Context(), natsbus.Config{URL: s.ClientURL(), ConnectWait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	_, err = bus.Subscribe(t.Context(), transport.Subscription{Name: "payment", Stream: transport.StreamCommands, Subjects: []string{transport.Subjects{}.Commands("payment")}})
	if err == nil || !strings.Contains(err.Error(), "gave up after 1s") {
		t.Errorf("the subscription ends with %v", err)
	}
	if !strings.Contains(said.String(), `msg="waiting for the coordinator, which creates the consumer`) || !strings.Contains(said.String(), "consumer=payment") {
		t.Errorf("it says %q", said)
	}
}

// TestWaitsHaveALimit: the limit is the one in the documentation.
func TestWaitsHaveALimit(t *testing.T) {
	if waiting.Limit != 10*time.Minute {
		t.Errorf("the documents say 10 min, not %s", waiting.Limit)
	}
}
