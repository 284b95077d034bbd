package server_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store/memstore"
)

// TestStoreOfOnesOwn checks that a server with the caller's store and an external bus needs no
// directory. The server does not close the store, which holds everything that the server accepted.
func TestStoreOfOnesOwn(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	own := memstore.New()
	d := start(t, server.Config{Store: own, NATS: sharedServer(t), HTTP: "127.0.0.1:0", Definitions: []*saga.Definition{refund(t)}})
	ask(t, d, func(ctx context.Context, c *client.Client) {
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: "refund"}, 1, client.ID("order-1")); err != nil {
			t.Fatal(err)
		}
	})
	code, body := fetch(t, http.MethodPost, d.HTTP+"/backup", nil)
	if code != http.StatusNotImplemented || !strings.Contains(body, "does not support backups") {
		t.Errorf("a backup of a store that has none: %d %s", code, body)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if in, err := own.Load(t.Context(), "order-1"); err != nil || in.Phase != contract.PhaseRunning {
		t.Errorf("the store has %v, %v", in, err)
	}
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("the working directory has %v, %v", files, err)
	}
}

// TestStoreConfiguration checks that a directory is required if anything would be stored in it.
func TestStoreConfiguration(t *testing.T) {
	own, external := memstore.New(), server.NATS{URL: "nats://127.0.0.1:4222"}
	for name, tt := range map[string]struct {
		config server.Config
		want   string // "" for a valid configuration
	}{
		"neither":               {server.Config{NATS: external}, "data dir: is missing; name the directory that holds the store"},
		"embedded bus":          {server.Config{Store: own}, "embedded NATS server's streams"},
		"embedded bus and both": {server.Config{Store: own, DataDir: "data", StoreKeys: "keys"}, ""},
		"external bus":          {server.Config{Store: own, NATS: external}, ""},
		"external bus and both": {server.Config{Store: own, DataDir: "data", NATS: external}, ""},
		"keys of nothing":       {server.Config{Store: own, NATS: external, StoreKeys: "keys"}, "would encrypt nothing"},
	} {
		if err := tt.config.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
