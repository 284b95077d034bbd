package natsbus_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// attempt returns a command whose attempt ends after the duration d.
func attempt(id string, number int, d time.Duration) transport.Envelope {
	e := command(id)
	e.Attempt, e.Expires, e.DedupID = number, time.Now().Add(d), fmt.Sprintf("dedup-%s-%d", id, number)
	e.ID = fmt.Sprintf("%s-%d", id, number)
	return e
}

// Commands that nobody receives leave the stream when their attempt ends, whether they are bundled
// or not. A first attempt stays for at least a minute, longer than this test runs. Messages without
// expiry stay.
func TestCommandsExpire(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int{"alone": 1, "in bundles": 16} {
		t.Run(name, func(t *testing.T) {
			bus := connect(t, start(t, embedded.Config{}), nil)
			bus.ForceBundles(most)
			batch := []transport.Envelope{attempt("late", 2, time.Hour), attempt("short", 2, 100*time.Millisecond)}
			for i := range 3 {
				id := fmt.Sprint("c", i)
				batch = append(batch, attempt(id, 1, 100*time.Millisecond))
				insist(t, bus, attempt(id, 2, 100*time.Millisecond), attempt(id, 3, 900*time.Millisecond), attempt(id, 4, -time.Second))
			}
			unbounded := attempt("unbounded", 2, 0)
			unbounded.Expires = time.Time{}
			batch = append(batch, unbounded)
			insist(t, bus, batch...)
			ids := []string{"c0-1", "c1-1", "c2-1", "late-2", "unbounded-2"}
			want := len(ids)
			if most > 1 {
				want = 2 // the commands without expiry, and a bundle that is kept for its longest command
				ids = slices.Insert(ids, 4, "short-2")
			}
			for ctx := within(t); len(lie(t, bus, transport.StreamCommands)) != want; {
				if ctx.Err() != nil {
					t.Fatalf("there still lie %q", lie(t, bus, transport.StreamCommands))
				}
			}
			source := subscribe(t, bus, inventory())
			var got []string
			for ctx := within(t); len(got) < len(ids); {
				list, err := source.Receive(ctx, 100)
				if err != nil {
					t.Fatalf("%v, after %q", err, got)
				}
				for _, d := range list {
					got = append(got, d.Envelope().ID)
					d.Ack()
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, ids) {
				t.Errorf("there came %q, want %q", got, ids)
			}
		})
	}
}

// handMade creates the stream of commands without TTL support, as an earlier release did.
func handMade(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	if _, err := js.CreateStream(within(t), jetstream.StreamConfig{
		Name: "SAGA_COMMANDS", Subjects: []string{"saga.command.>"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
	}); err != nil {
		t.Fatal(err)
	}
}

// A bus that may change streams upgrades a stream of an earlier release. Other buses use it
// unchanged.
func TestExpiryOfAnEarlierStream(t *testing.T) {
	for name, provision := range map[string]natsbus.Provisioning{"ours": natsbus.ProvisionCreate, "another's": natsbus.ProvisionVerify} {
		t.Run(name, func(t *testing.T) {
			server := start(t, embedded.Config{})
			nc, err := natstest.Connect("", server.InProcess())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			if provision == natsbus.ProvisionVerify { // ProvisionVerify needs the other streams
				if err := connect(t, server, nil).Close(); err != nil {
					t.Fatal(err)
				}
				if err := js.DeleteStream(within(t), "SAGA_COMMANDS"); err != nil {
					t.Fatal(err)
				}
			}
			handMade(t, js)
			bus := connect(t, server, func(c *natsbus.Config) { c.Provision = provision })
			stream, err := js.Stream(within(t), "SAGA_COMMANDS")
			if err != nil || stream.CachedInfo().Config.AllowMsgTTL != (provision == natsbus.ProvisionCreate) {
				t.Fatalf("the stream lets messages expire: %t, %v", stream.CachedInfo().Config.AllowMsgTTL, err)
			}
			if errs := bus.Publish(within(t), []transport.Envelope{attempt("a", 2, time.Hour)}); errs != nil {
				t.Fatal(errs)
			}
			m, err := stream.GetLastMsgForSubject(within(t), "saga.command.inventory.reserve-stock")
			if err != nil || (m.Header.Get(jetstream.MsgTTLHeader) == "3600s") != (provision == natsbus.ProvisionCreate) {
				t.Errorf("its life is %q, %v", m.Header.Get(jetstream.MsgTTLHeader), err)
			}
		})
	}
}

// If a stream without TTL support replaces the stream, commands are accepted from the second try
// on.
func TestExpiryIsGivenUp(t *testing.T) {
	server := start(t, embedded.Config{})
	connect(t, server, nil)
	bus := connect(t, server, func(c *natsbus.Config) { c.Provision, c.CheckInterval = natsbus.ProvisionVerify, time.Hour })
	free := bus.Busy()
	defer free()
	js := jetStream(t, bus)
	if err := js.DeleteStream(within(t), "SAGA_COMMANDS"); err != nil {
		t.Fatal(err)
	}
	handMade(t, js)
	first := bus.Publish(within(t), []transport.Envelope{attempt("a", 2, time.Hour)})
	second := bus.Publish(within(t), []transport.Envelope{attempt("a", 2, time.Hour)})
	if first == nil || second != nil {
		t.Errorf("the first try: %v, the second one: %v", first, second)
	}
}
