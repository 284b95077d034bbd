package natsbus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// A change of a stream that could lose messages causes an error with advice. Harmless changes do
// not.
func TestDrift(t *testing.T) {
	subjects := []string{"saga.command.>"}
	right := jetstream.StreamConfig{Name: "SAGA_COMMANDS", Subjects: subjects, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew}
	change := func(f func(*jetstream.StreamConfig)) jetstream.StreamConfig {
		c := right
		f(&c)
		return c
	}
	cases := []struct {
		name   string
		config jetstream.StreamConfig
		field  string // "" if the change is accepted
	}{
		{"right", right, ""},
		{"described, larger, compressed", change(func(c *jetstream.StreamConfig) {
			c.Description, c.MaxBytes, c.Compression, c.Duplicates = "ours", 1<<30, jetstream.S2Compression, time.Minute
		}), ""},
		{"further subjects", change(func(c *jetstream.StreamConfig) { c.Subjects = []string{"saga.command.>", "other"} }), ""},
		{"retention", change(func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy }), "retention"},
		{"storage", change(func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }), "storage"},
		{"subjects", change(func(c *jetstream.StreamConfig) { c.Subjects = []string{"saga.command.inventory.>"} }), "subjects"},
		{"discard", change(func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }), "discard"},
		{"max age", change(func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }), "max_age"},
		{"one per subject", change(func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }), "max_msgs_per_subject"},
		{"small messages", change(func(c *jetstream.StreamConfig) { c.MaxMsgSize = transport.MaxMessage - 1 }), "max_msg_size"},
		{"messages that are just large enough", change(func(c *jetstream.StreamConfig) { c.MaxMsgSize = transport.MaxMessage }), ""},
		{"no ack", change(func(c *jetstream.StreamConfig) { c.NoAck = true }), "no_ack"},
	}
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
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := js.CreateStream(within(t), c.config); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := js.DeleteStream(within(t), c.config.Name); err != nil {
					t.Fatal(err)
				}
			}()
			bus, err := natsbus.New(within(t), nc, natsbus.Config{Provision: natsbus.ProvisionCreate})
			if bus != nil {
				bus.Close()
			}
			var drift *natsbus.DriftError
			switch {
			case c.field == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.field != "" && (!errors.As(err, &drift) || drift.Field != c.field || drift.Stream != "SAGA_COMMANDS" || !strings.Contains(err.Error(), "nats stream ")):
				t.Errorf("%v; want a DriftError on %s that says how to fix it", err, c.field)
			}
		})
	}
}

// A full work queue refuses new messages and keeps stored ones. Acknowledgements make room.
func TestFullQueue(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), func(c *natsbus.Config) { c.QueueBytes = 64 << 10 })
	batch := make([]transport.Envelope, 100)
	for i := range batch {
		batch[i] = command(string(rune('A'+i/26)) + string(rune('a'+i%26)))
		batch[i].Data = make([]byte, 1024)
	}
	errs := bus.Publish(within(t), batch)
	accepted := 0
	for i, err := range errs {
		switch {
		case err == nil && accepted == i:
			accepted++
		case !errors.Is(err, transport.ErrFull):
			t.Fatalf("envelope %d: %v, want ErrFull", i, err)
		}
	}
	if accepted == 0 || accepted == len(batch) {
		t.Fatalf("%d of %d accepted", accepted, len(batch))
	}
	var ids []string
	for _, e := range batch[:accepted] {
		ids = append(ids, e.ID)
	}
	source := subscribe(t, bus, inventory())
	await(t, source, ids...)
	insist(t, bus, batch[accepted:accepted+3]...)
	await(t, source, batch[accepted].ID)
}

// The largest accepted message fits into the dead letters with its overhead. A larger message is
// refused at once.
func TestLargestMessage(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source := subscribe(t, bus, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	size := 1<<20 - 33<<10
	e := transport.Envelope{Subject: answer, Type: "unknown", Data: make([]byte, size)}
	insist(t, bus, e)
	insist(t, bus, transport.Envelope{Subject: answer, Type: transport.TypeCompleted})
	await(t, source, "order-1/7/reserve/do/1")
	awaitEmpty(t, bus, transport.StreamEvents)
	list, err := bus.ListDeadLetters(within(t), 0, 10)
	if err != nil || len(list) != 1 || len(list[0].Data) != size {
		t.Fatalf("%d dead letters, %v", len(list), err)
	}
	e.Data = make([]byte, 1<<20-31<<10) // within the server's limit, but not within the stream's
	if errs := bus.Publish(within(t), []transport.Envelope{e}); len(errs) != 1 || !errors.Is(errs[0], transport.ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", errs)
	}
}

// With Verify, a missing stream is an error.
func TestVerify(t *testing.T) {
	server := start(t, embedded.Config{})
	nc, err := natstest.Connect("", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := natsbus.New(within(t), nc, natsbus.Config{Provision: natsbus.ProvisionVerify}); err == nil || !strings.Contains(err.Error(), "SAGA_COMMANDS is missing") {
		t.Errorf("%v, want that a stream is missing", err)
	}
}

// The bus reconnects if a server accepts publishes but never answers.
func TestForcedReconnect(t *testing.T) {
	server := start(t, embedded.Config{})
	bus := connect(t, server, func(c *natsbus.Config) { c.Provision, c.PublishTimeout = natsbus.ProvisionAsk, 20*time.Millisecond })
	deaf, err := bus.Conn().SubscribeSync("saga.command.>") // receives publishes like a stream, but never acknowledges
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Unsubscribe() }()
	for range 4 {
		if errs := bus.Publish(within(t), []transport.Envelope{command("a")}); errs == nil {
			t.Fatal("accepted")
		}
	}
	if bus.Stats().ForcedReconnects == 0 {
		t.Error("the connection was not given up")
	}
}

// Two buses with different prefixes share a server and do not see each other's messages.
func TestPrefixes(t *testing.T) {
	server := start(t, embedded.Config{})
	one := connect(t, server, func(c *natsbus.Config) { c.Prefix = "acme.saga" })
	two := connect(t, server, nil)
	if one.Prefix() != "acme.saga" || two.Prefix() != transport.DefaultPrefix {
		t.Errorf("the prefixes are %s and %s", one.Prefix(), two.Prefix())
	}
	if name := one.StreamName(transport.StreamDeadLetters); name != "ACME_SAGA_DEAD" {
		t.Errorf("the dead letters are in %s", name)
	}
	if errs := one.Publish(within(t), []transport.Envelope{command("a")}); errs == nil {
		t.Error("a subject of the other prefix was accepted")
	}
	mine := command("a")
	mine.Subject = "acme." + mine.Subject
	insist(t, one, mine)
	insist(t, two, command("b"))
	await(t, subscribe(t, two, inventory()), "b")
	s := inventory()
	s.Subjects = []string{"acme.saga.command.inventory.>"}
	await(t, subscribe(t, one, s), "a")
}

func TestServerVersion(t *testing.T) {
	for version, fine := range map[string]bool{"2.15.2": true, "2.10.0": true, "3.0.0-beta": true, "": true, "2.9.10": false, "1.4.1": false} {
		if err := natsbus.CheckVersion(version); (err == nil) != fine {
			t.Errorf("version %q: %v", version, err)
		}
	}
}
