package natsbus_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// Two buses share one connection of the caller, and the first is closed. The first then receives
// nothing more; the second bus and the caller continue to receive everything.
func TestTwoBusesOnOneConnection(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users.conf")
	if err := os.WriteFile(file, []byte(`accounts { AMENDS: { jetstream: enabled, users: [ { user: some, password: some,
		permissions: { publish: { allow: [">"], deny: ["saga.command.bank.>"] } } } ] } }`), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, embedded.Config{Port: -1, UsersFile: file, Account: natsbus.Account})
	var disconnects, violations atomic.Int64 // events reported to the caller
	nc, err := natstest.Connect(server.ClientURL(),
		nats.UserInfo("some", "some"), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { disconnects.Add(1) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				violations.Add(1)
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	buses := make([]*natsbus.Bus, 2)
	for i := range buses {
		if buses[i], err = natsbus.New(within(t), nc, natsbus.Config{
			Provision: natsbus.ProvisionCreate, CheckInterval: 200 * time.Millisecond, PublishTimeout: time.Hour,
			QueueBytes: 1 << 20, LifecycleBytes: 1 << 20, DeadBytes: 1 << 20,
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = buses[i].Close() })
	}
	closed, open := buses[0], buses[1]
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}

	begun := time.Now()
	forbidden := command("forbidden")
	forbidden.Subject = "saga.command.bank.pay"
	errs := open.Publish(within(t), []transport.Envelope{forbidden})
	if len(errs) != 1 || !errors.Is(errs[0], transport.ErrNotPermitted) {
		t.Errorf("%v, want that it is not permitted", errs)
	}
	if err := closed.Violation(forbidden.Subject, begun); err != nil {
		t.Errorf("the closed bus has heard that %v", err)
	}

	wire := connected(t, server)
	wire.out.Reset()
	wire.out.WriteString(`CONNECT {"user":"some","pass":"some","headers":true,"verbose":false,"protocol":1}` + "\r\n")
	wire.pub("saga.event.inventory.a\rb", "", "poison")
	wire.flush(t)
	insist(t, open, transport.Envelope{Subject: answer, Type: transport.TypeCompleted})
	sub := answers()
	sub.AckWait = time.Second // messages in flight on the lost connection are redelivered
	await(t, subscribe(t, open, sub), "order-1/7/reserve/do/1")
	eventually(t, "the caller is told too", func() bool { return disconnects.Load() > 0 && violations.Load() > 0 })
	// Each lost connection causes one termination. If a message is redelivered before its
	// termination arrives, it breaks the connection once more.
	was, is := closed.Stats().DeadUnstored, open.Stats().DeadUnstored
	if lost := disconnects.Load(); was != 0 || is < 1 || is > lost {
		t.Errorf("the closed bus has terminated %d, the other %d, and the connection was lost %d times; want 0, and one for each loss", was, is, lost)
	}
}
