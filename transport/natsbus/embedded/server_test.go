package embedded_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server without a port is only reachable inside this process.
func TestInProcess(t *testing.T) {
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if url := server.ClientURL(); url != "" {
		t.Errorf("it listens on %s", url)
	}
	nc, err := natstest.Connect("", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if err := server.Healthy(); err != nil {
		t.Error(err)
	}
	server.Shutdown()
	if err := server.Healthy(); err == nil {
		t.Error("healthy after shutdown")
	}
}

// A server that listens later is reachable inside this process at once, and from outside after
// Listen.
func TestListenLater(t *testing.T) {
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1, ListenLater: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	if url := server.ClientURL(); url != "" {
		t.Errorf("it listens on %s before Listen", url)
	}
	nc, err := natstest.Connect("", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	if nc, err = natstest.Connect(server.ClientURL()); err != nil {
		t.Fatal(err)
	}
	nc.Close()

	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.ClientURL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	second, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: number, ListenLater: true})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Shutdown()
	if err := second.Listen(); err == nil || !strings.Contains(err.Error(), port) {
		t.Errorf("Listen on a port that is in use returns %v", err)
	}
}

// If a port and a password are set, clients need the password.
func TestPassword(t *testing.T) {
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1, User: "amends", Password: "secret", SyncInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	if _, err := natstest.Connect(server.ClientURL()); err == nil {
		t.Error("connected without a password")
	}
	nc, err := natstest.Connect(server.ClientURL(), nats.UserInfo("amends", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

// Start fails immediately if the configuration is invalid.
func TestStartFails(t *testing.T) {
	if _, err := embedded.Start(embedded.Config{}); err == nil {
		t.Error("started without a directory")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Start(embedded.Config{StoreDir: filepath.Join(file, "store"), ReadyTimeout: 200_000_000}); err == nil {
		t.Error("started with a directory that cannot be made")
	}
}
