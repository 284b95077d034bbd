package server_test

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestAnExternalServerMayGoAway checks that the coordinator is not ready while the NATS server is
// down. Once the server is back, sagas continue.
func TestAnExternalServerMayGoAway(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	settings := embedded.Config{StoreDir: t.TempDir(), Port: -1, User: "alice", Password: "swordfish"}
	nats, err := embedded.Start(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nats.Shutdown() })
	address, err := url.Parse(nats.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	if settings.Port, err = strconv.Atoi(address.Port()); err != nil {
		t.Fatal(err)
	}
	d := start(t, server.Config{
		DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Definitions: []*saga.Definition{refund(t)},
		NATS: server.NATS{URL: "nats://" + address.Host, Credentials: natsbus.Credentials{User: "alice", Password: "swordfish"}},
	})
	code, body := fetch(t, http.MethodGet, d.HTTP+"/readyz", nil)
	if code != http.StatusOK {
		t.Fatalf("readyz: %d %s", code, body)
	}
	nats.Shutdown()
	eventually(t, "readyz says that the bus is away", func() bool {
		code, _ := fetch(t, http.MethodGet, d.HTTP+"/readyz", nil)
		return code == http.StatusServiceUnavailable
	})
	if nats, err = embedded.Start(settings); err != nil {
		t.Fatal(err)
	}
	eventually(t, "readyz says that the bus is back", func() bool {
		code, _ := fetch(t, http.MethodGet, d.HTTP+"/readyz", nil)
		return code == http.StatusOK
	})
	ask(t, d, func(ctx context.Context, c *client.Client) {
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: "refund"}, 1, client.ID("order-1")); err != nil {
			t.Error(err)
		}
	})
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
