//go:build lab

package server_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

var pending = flag.Int("server.pending", 20_000, "pending commands in TestPendingAfterARestart")

// TestPendingAfterARestart measures how soon sagas progress after a restart that lost the bus, while
// very many commands of one participant are pending: a saga of that participant that was pending, a
// new saga of that participant, and a new saga of another one. It requires only that they progress
// long before the pending commands are answered; the times are reported.
func TestPendingAfterARestart(t *testing.T) {
	config := server.Config{
		DataDir: t.TempDir(), NATS: server.NATS{Storage: server.StorageMemory}, MaxOpen: 4**pending + 1000, MaxBacklog: 2**pending + 10_000,
		Definitions: []*saga.Definition{single(t, "away", "1h", 3), single(t, "well", "1h", 3)},
	}
	d := start(t, config)
	began := time.Now()
	startMany(t, d.Client(), *pending)
	t.Logf("%d sagas started in %s", *pending, time.Since(began).Round(time.Second))
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}

	began = time.Now()
	d = start(t, config)
	ready := time.Now()
	t.Logf("ready after %s", ready.Sub(began).Round(time.Millisecond))
	var answered atomic.Int64
	first, last := make(chan struct{}), make(chan struct{})
	bus := dial(t, d, "services")
	attend(t, bus, "away", new(participant.MemoryInbox), func(contract.Key) {
		switch answered.Add(1) {
		case 1:
			close(first)
		case int64(*pending):
			close(last)
		}
	})
	attend(t, dial(t, d, "other"), "well", new(participant.MemoryInbox), func(contract.Key) {})
	from := time.Now()
	<-first
	t.Logf("the first pending saga of the crowded participant progressed %s after it was back", time.Since(from).Round(time.Millisecond))
	for _, def := range []string{"well", "away"} {
		for n := range 3 {
			from := time.Now()
			complete(t, d.Client(), begin(t, d.Client(), def, *pending+n, *pending+n+1, 10))
			t.Logf("a new saga of %s was completed after %s; %d pending ones were answered by then", def, time.Since(from).Round(time.Millisecond), answered.Load())
		}
	}
	if n := answered.Load(); n > int64(*pending)*9/10 {
		t.Errorf("new sagas had to wait: %d of %d pending commands were answered first", n, *pending)
	}
	<-last
	t.Logf("all %d were answered after %s", answered.Load(), time.Since(from).Round(time.Second))
}

// startMany starts n sagas of the absent participant, many at a time.
func startMany(t *testing.T, c *client.Client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	const callers = 512
	failed := make(chan error, callers)
	for caller := range callers {
		go func() {
			for i := caller; i < n; i += callers {
				id := contract.SagaID(fmt.Sprintf("pending-%d", i))
				if _, err := c.Start(ctx, contract.DefinitionRef{Name: "away"}, strings.Repeat("x", 100), client.ID(id)); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range callers {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}
