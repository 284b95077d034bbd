package natsbus_test

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestQueueKeepsItsFile checks that a queue through which messages flow one by one keeps its file on
// the server, because the newest acknowledgement is held. Without that it gets a new file each time.
// Close sends what is held.
func TestQueueKeepsItsFile(t *testing.T) {
	for name, tt := range map[string]struct {
		hold time.Duration
		left uint64 // messages in the stream after an acknowledgement
	}{"held": {time.Hour, 1}, "not held": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			defer natsbus.SetHold(tt.hold)()
			dir := t.TempDir()
			bus := connect(t, start(t, embedded.Config{StoreDir: dir, Port: -1}), nil)
			sub := inventory()
			sub.AckWait = 24 * time.Hour
			source := subscribe(t, bus, sub)
			for i := range 5 {
				id := "c" + strconv.Itoa(i)
				insist(t, bus, command(id))
				await(t, source, command(id).ID)
				awaitMessages(t, bus, tt.left)
			}
			first := filepath.Join(dir, "jetstream", "$G", "streams", bus.StreamName(transport.StreamCommands), "msgs", "1.blk")
			kept, err := filepath.Glob(first)
			if err != nil || (len(kept) == 1) != (tt.left == 1) {
				t.Errorf("the first file is %v, %v", kept, err)
			}
			if err := source.Close(); err != nil {
				t.Fatal(err)
			}
			awaitMessages(t, bus, 0)
		})
	}
}

// TestHeldAckIsSent checks that the newest acknowledgement is sent after a while although no further
// message arrives, again and again, and that it is not held where it would delay the next delivery.
func TestHeldAckIsSent(t *testing.T) {
	defer natsbus.SetHold(10 * time.Millisecond)()
	bus := connect(t, start(t, embedded.Config{Port: -1}), nil)
	source := subscribe(t, bus, inventory())
	for _, id := range []string{"a", "b"} {
		insist(t, bus, command(id))
		await(t, source, command(id).ID)
		awaitMessages(t, bus, 0)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	natsbus.SetHold(time.Hour)
	few := inventory()
	few.MaxInFlight = 1
	few.AckWait = 24 * time.Hour
	source = subscribe(t, bus, few)
	for _, id := range []string{"c", "d"} {
		insist(t, bus, command(id))
		await(t, source, command(id).ID)
	}
	awaitMessages(t, bus, 0)
}
