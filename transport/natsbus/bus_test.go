package natsbus_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/transporttest"
)

const waitLimit = 2 * time.Minute // limit for events that must happen

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server for one test.
func start(t *testing.T, config embedded.Config) *embedded.Server {
	t.Helper()
	if config.StoreDir == "" {
		config.StoreDir = t.TempDir()
	}
	server, err := embedded.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

// connect returns a bus with short intervals.
func connect(t *testing.T, server *embedded.Server, change func(*natsbus.Config)) *natsbus.Bus {
	t.Helper()
	config := natsbus.Config{
		URL:            server.ClientURL(),
		Provision:      natsbus.ProvisionCreate,
		PublishTimeout: 10 * time.Second,
		Heartbeat:      100 * time.Millisecond,
		CheckInterval:  200 * time.Millisecond,
		QueueBytes:     64 << 20,
		Logger:         slog.New(slog.NewTextHandler(t.Output(), nil)),
		LifecycleBytes: 16 << 20,
		DeadBytes:      16 << 20,
		Options:        []nats.Option{nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0)},
	}
	if config.URL == "" {
		config.Options = append(config.Options, server.InProcess())
	}
	if change != nil {
		change(&config)
	}
	bus, err := natsbus.Connect(within(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bus.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return bus
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

func TestConformance(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, transporttest.Factory{
		New: func(t *testing.T) transport.Bus { return connect(t, start(t, embedded.Config{}), nil) },
		Lose: func(t *testing.T, bus transport.Bus) {
			b := bus.(*natsbus.Bus)
			js := jetStream(t, b)
			for _, s := range transport.Streams {
				if err := js.DeleteStream(within(t), b.StreamName(s)); err != nil {
					t.Fatal(err)
				}
			}
		},
		Close: func(t *testing.T, bus transport.Bus) {
			if err := bus.(*natsbus.Bus).Close(); err != nil {
				t.Error(err)
			}
		},
	})
}

func command(i string) transport.Envelope {
	key := contract.Key{Saga: contract.SagaID(i), Birth: 7, Step: "reserve", Direction: contract.DirectionDo}
	s := transport.Subjects{}
	return transport.Envelope{
		Subject: s.Command("inventory", "reserve-stock"), ID: i, Type: transport.TypeCommand, DedupID: "dedup-" + i,
		Saga: key.Saga, Birth: key.Birth, Step: key.Step, Direction: key.Direction, Attempt: 1, ReplyTo: s.Event("inventory", key, 1),
	}
}

func inventory() transport.Subscription {
	return transport.Subscription{Stream: transport.StreamCommands, Name: "inventory", Subjects: []string{"saga.command.inventory.>"}, AckWait: 10 * time.Second}
}

func subscribe(t *testing.T, bus *natsbus.Bus, sub transport.Subscription) transport.Source {
	t.Helper()
	source, err := bus.Subscribe(within(t), sub)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	return source
}

// insist publishes until the bus accepts the messages, as a relay does.
func insist(t *testing.T, bus *natsbus.Bus, batch ...transport.Envelope) {
	t.Helper()
	ctx := within(t)
	var last []error
	for tries := 1; ; tries++ {
		errs := bus.Publish(ctx, batch)
		if errs == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("publish: %v, before that %v, at try %d", errs, last, tries)
		}
		last = errs
	}
}

// await receives and acknowledges until all ids have arrived.
func await(t *testing.T, source transport.Source, ids ...string) {
	t.Helper()
	ctx := within(t)
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	for len(missing) > 0 {
		batch, err := source.Receive(ctx, 100)
		if err != nil {
			t.Fatalf("receive: %v; %v did not come", err, missing)
		}
		for _, d := range batch {
			delete(missing, d.Envelope().ID)
			d.Ack()
		}
	}
}

func awaitReset(t *testing.T, bus *natsbus.Bus) {
	t.Helper()
	select {
	case <-bus.Resets():
	case <-time.After(waitLimit):
		t.Fatal("Resets does not signal")
	}
}

// A server that restarts with its files loses nothing. The source and the publisher continue, and
// Resets does not signal.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := start(t, embedded.Config{StoreDir: dir, Port: -1})
	bus := connect(t, server, func(c *natsbus.Config) { c.PublishTimeout = time.Second }) // the server stops
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"), command("b"))
	await(t, source, "a")
	port := portOf(t, server)
	server.Shutdown()
	if err := bus.Check(within(t)); err == nil {
		t.Error("Check is content without a server")
	}
	if errs := bus.Publish(within(t), []transport.Envelope{command("c")}); errs == nil {
		t.Error("a publish without a server was accepted")
	}
	start(t, embedded.Config{StoreDir: dir, Port: port})
	insist(t, bus, command("c"), command("d"))
	await(t, source, "c", "d")
	select {
	case <-bus.Resets():
		t.Error("Resets signals although nothing was lost")
	default:
	}
	if err := bus.Check(within(t)); err != nil {
		t.Errorf("Check: %v", err)
	}
	eventually(t, "the reconnect is counted", func() bool { return bus.Stats().Reconnects > 0 })
}

// A server that restarts without its files has lost everything. Streams and consumers are
// recreated, Resets signals, and the source continues.
func TestServerLosesItsFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	server := start(t, embedded.Config{StoreDir: dir, Port: -1})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"))
	port := portOf(t, server)
	server.Shutdown()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{StoreDir: dir, Port: port})
	awaitReset(t, bus)
	insist(t, bus, command("b"))
	await(t, source, "b")
}

// The server's files are deleted while it is running, and then it restarts.
func TestFilesDeletedUnderTheServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	server := start(t, embedded.Config{StoreDir: dir, Port: -1})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"), command("b"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	port := portOf(t, server)
	server.Shutdown()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{StoreDir: dir, Port: port})
	awaitReset(t, bus)
	insist(t, bus, command("c"))
	await(t, source, "c")
}

// If the consumer is deleted, nothing is lost and the source continues.
func TestConsumerDeleted(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"))
	await(t, source, "a")
	if err := jetStream(t, bus).DeleteConsumer(within(t), bus.StreamName(transport.StreamCommands), "inventory"); err != nil {
		t.Fatal(err)
	}
	insist(t, bus, command("b"))
	await(t, source, "b")
	eventually(t, "one consumer remade is counted", func() bool { return bus.Stats().ConsumersRecreated == 1 })
}

// If one stream is deleted, it is recreated with its consumer.
func TestStreamDeleted(t *testing.T) {
	t.Parallel()
	bus := connect(t, start(t, embedded.Config{}), nil)
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"))
	if err := jetStream(t, bus).DeleteStream(within(t), bus.StreamName(transport.StreamCommands)); err != nil {
		t.Fatal(err)
	}
	insist(t, bus, command("b")) // the publish itself recreates the stream
	awaitReset(t, bus)
	await(t, source, "b")
}

// A purged stream continues its sequence, so the bus cannot notice the purge. Timers send the
// pending messages again, and later messages arrive.
func TestStreamPurged(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"))
	stream, err := jetStream(t, bus).Stream(within(t), bus.StreamName(transport.StreamCommands))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(within(t)); err != nil {
		t.Fatal(err)
	}
	insist(t, bus, command("b"))
	await(t, source, "b")
}

// A bus on the caller's connection does not close it.
func TestForeignConnection(t *testing.T) {
	server := start(t, embedded.Config{})
	nc, err := natstest.Connect("", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	bus, err := natsbus.New(within(t), nc, natsbus.Config{Provision: natsbus.ProvisionCreate})
	if err != nil {
		t.Fatal(err)
	}
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"))
	await(t, source, "a")
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	if !nc.IsConnected() {
		t.Error("the caller's connection was closed")
	}
}

// Services may start before their server.
func TestConnectWaitsForTheServer(t *testing.T) {
	first := start(t, embedded.Config{Port: -1})
	url, port := first.ClientURL(), portOf(t, first)
	first.Shutdown()
	connected := make(chan error, 1)
	go func() {
		bus, err := natsbus.Connect(within(t), natsbus.Config{URL: url})
		if err == nil {
			err = bus.Close()
		}
		connected <- err
	}()
	start(t, embedded.Config{Port: port})
	if err := <-connected; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := natsbus.Connect(ctx, natsbus.Config{URL: "nats://127.0.0.1:1"}); err == nil {
		t.Error("connected to nobody")
	}
}
