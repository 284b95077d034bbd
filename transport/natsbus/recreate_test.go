package natsbus_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// If another client replaces a stream, and the new stream is already ahead of the old one, only the
// creation time shows the replacement.
func TestStreamReplaced(t *testing.T) {
	server := start(t, embedded.Config{})
	bus := connect(t, server, nil)
	other := connect(t, server, func(c *natsbus.Config) { c.Provision = natsbus.ProvisionAsk })
	insist(t, bus, command("a"))
	js, name := jetStream(t, bus), bus.StreamName(transport.StreamCommands)
	stream, err := js.Stream(within(t), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(within(t), name); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(within(t), stream.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	insist(t, other, command("b"), command("c"), command("d"))
	awaitReset(t, bus)
}

// After a power failure, the server cannot read a consumer's files. It can create the consumer
// neither for a new subscription nor for an existing one, so the stream is recreated.
func TestConsumerFilesDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := start(t, embedded.Config{StoreDir: dir, Port: -1})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"), command("b"))
	await(t, source, "a", "b")
	port := portOf(t, server)
	server.Shutdown()
	consumers, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", bus.StreamName(transport.StreamCommands), "obs", "*"))
	if err != nil || len(consumers) != 1 {
		t.Fatalf("consumers on disk: %q, %v", consumers, err)
	}
	for _, name := range []string{"meta.inf", "o.dat"} {
		if err := os.WriteFile(filepath.Join(consumers[0], name), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, embedded.Config{StoreDir: dir, Port: port})
	awaitReset(t, bus)
	insist(t, bus, command("c"))
	await(t, source, "c")
}

// A server that was still deleting a consumer has removed the files of the new one. The new
// consumer works, but without a repair, a new subscription to it would be refused for ever.
func TestConsumerFilesGone(t *testing.T) {
	dir := t.TempDir()
	server := start(t, embedded.Config{StoreDir: dir})
	bus := connect(t, server, nil)
	source := subscribe(t, bus, inventory())
	insist(t, bus, command("a"))
	await(t, source, "a")
	consumers, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", bus.StreamName(transport.StreamCommands), "obs", "*"))
	if err != nil || len(consumers) != 1 {
		t.Fatalf("consumers on disk: %q, %v", consumers, err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	for try := 1; ; try++ { // the server may write its state into the directory that is being removed
		if err = os.RemoveAll(consumers[0]); err == nil {
			break
		}
		if try == 100 {
			t.Fatal(err)
		}
	}
	insist(t, bus, command("b"))
	await(t, subscribe(t, bus, inventory()), "b")
}
