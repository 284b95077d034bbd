package natsbus_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// I10: a server is killed between receiving an acknowledgement and removing the message. It keeps
// the message for ever and does not deliver it. Old files of the stream with new files of the
// consumer reproduce that. Messages for other consumers stay.
func TestAcknowledgedMessagesAreSwept(t *testing.T) {
	dir := t.TempDir()
	server := start(t, embedded.Config{StoreDir: dir, Port: -1})
	port := portOf(t, server)
	bus := connect(t, server, nil)
	insist(t, bus, command("a"), command("b"), foreign("other"))
	server.Shutdown()
	messages := filepath.Join(dir, "jetstream", "$G", "streams", bus.StreamName(transport.StreamCommands), "msgs")
	before := filepath.Join(t.TempDir(), "before")
	copyDir(t, messages, before)
	server = start(t, embedded.Config{StoreDir: dir, Port: port})
	awaitMessages(t, bus, 3)
	source := subscribe(t, bus, inventory()) // a starting server may forget an earlier ack
	await(t, source, "a", "b")
	awaitMessages(t, bus, 1) // the other participant's message
	server.Shutdown()
	if err := os.RemoveAll(messages); err != nil {
		t.Fatal(err)
	}
	copyDir(t, before, messages)
	start(t, embedded.Config{StoreDir: dir, Port: port})
	awaitMessages(t, bus, 1)
	insist(t, bus, command("c"))
	await(t, source, "c")
	other := subscribe(t, bus, transport.Subscription{Stream: transport.StreamCommands, Name: "post", Subjects: []string{"saga.command.post.>"}})
	await(t, other, "other")
	awaitMessages(t, bus, 0)
}

// foreign returns a command for a participant that has no subscription.
func foreign(i string) transport.Envelope {
	e := command(i)
	e.Subject = transport.Subjects{}.Command("post", "ship")
	e.ReplyTo = transport.Subjects{}.Event("post", contract.Key{Saga: e.Saga, Birth: 7, Step: "ship", Direction: contract.DirectionDo}, 1)
	return e
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// awaitMessages waits until the stream of commands contains the given number of messages.
func awaitMessages(t *testing.T, bus *natsbus.Bus, want uint64) {
	t.Helper()
	ctx := within(t)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not come to hold %d messages", bus.StreamName(transport.StreamCommands), want)
		case <-tick.C:
		}
		stream, err := jetStream(t, bus).Stream(ctx, bus.StreamName(transport.StreamCommands))
		if err == nil && stream.CachedInfo().State.Msgs == want {
			return
		}
	}
}
