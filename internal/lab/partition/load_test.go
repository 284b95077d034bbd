//go:build linux && lab

package partition

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

// callers is the number of callers per connection. Each starts one saga after the other.
const callers = 4

// transferMoney has timeouts so short that a fault of a few seconds makes outcomes unknown.
var transferMoney = world.DefineTransfer(2*time.Second, 3)

// load is callers with one connection to each node, so that faults at one of them do not make the
// measure blind.
type load struct {
	*world.Load
	client *client.Client // uses the first connection
}

// startLoad starts callers on one connection for each configuration.
func startLoad(t *testing.T, configs ...natsbus.Config) *load {
	t.Helper()
	l := &load{Load: world.NewLoad(transferMoney)}
	for i, config := range configs {
		c := client.New(connect(t, config), client.RequestTimeout(time.Second))
		if i == 0 {
			l.client = c
		}
		for w := range callers {
			rng := rand.New(rand.NewPCG(uint64(i), uint64(w)))
			l.Call(world.Caller{
				Name: fmt.Sprintf("load-%d-%d", i, w), Client: c, Rng: rng, Places: make(chan struct{}, 1),
				Pause: func() time.Duration { return time.Duration(10+rng.IntN(50)) * time.Millisecond },
			})
		}
	}
	t.Cleanup(l.Stop)
	return l
}

// connect opens a connection that is closed at the end of the test.
func connect(t *testing.T, config natsbus.Config) *natsbus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), world.Limit)
	defer cancel()
	bus, err := natsbus.Connect(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	return bus
}

// over returns a bus configuration for a host, with the given node first in the list of servers.
func (n *network) over(from string, first int) natsbus.Config {
	return natsbus.Config{
		URL: n.urls(first), Name: from, Replicas: 3,
		Options: []nats.Option{nats.SetCustomDialer(n.hosts[from]), nats.DontRandomize()},
	}
}

// audit audits the store in a data directory against what the participants have done.
func audit(t *testing.T, data, bank string, runs []world.Run) {
	t.Helper()
	r, err := world.Examine(t.Context(), filepath.Join(data, server.StoreFile), transferMoney, runs, bank)
	if err != nil {
		t.Fatal(err)
	}
	r.ReportBoth(t)
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
