package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

// attend runs a participant of single's definitions until the test ends or leave is called.
func attend(t *testing.T, bus *natsbus.Bus, who string, inbox *participant.MemoryInbox, did func(contract.Key)) (leave func()) {
	t.Helper()
	serve := contract.NewCommand[json.RawMessage, struct{}](who, "serve")
	p := participant.New(who, inbox, participant.Logger(slog.New(slog.DiscardHandler)))
	participant.Handle(p, serve, func(ctx context.Context, tx *participant.MemoryTx, _ json.RawMessage) (struct{}, error) {
		key := participant.KeyFrom(ctx)
		tx.OnCommit(func() { did(key) })
		return struct{}{}, nil
	})
	participant.HandleUndo(p, contract.UndoOf(serve, "withdraw"), func(context.Context, *participant.MemoryTx, contract.Undo[json.RawMessage, struct{}]) error {
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx, bus); err != nil {
			t.Errorf("participant %s: %v", who, err)
		}
	})
	leave = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(leave)
	return leave
}

// begin starts sagas with an input of the given size.
func begin(t *testing.T, c *client.Client, def string, from, upTo, size int) (ids []contract.SagaID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for n := from; n < upTo; n++ {
		id := contract.SagaID(fmt.Sprintf("%s-%d", def, n))
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: def}, strings.Repeat("x", size), client.ID(id)); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// complete waits until sagas are completed.
func complete(t *testing.T, c *client.Client, ids []contract.SagaID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for _, id := range ids {
		if status, err := c.Wait(ctx, id); err != nil || status.Phase != contract.PhaseCompleted {
			t.Fatalf("%s is %+v, %v", id, status, err)
		}
	}
}

// TestBusInMemoryIsBounded checks that the streams in memory have their configured limit, and that
// a participant that is away, for which more is pending than they hold, delays no other, before and
// after a restart (I10, I13).
func TestBusInMemoryIsBounded(t *testing.T) {
	const bytes = 20 << 20
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(2 * 4 * bytes)) // a quarter for two streams
	config := server.Config{
		DataDir: t.TempDir(), NATS: server.NATS{Storage: server.StorageMemory},
		Definitions: []*saga.Definition{single(t, "well", "10m", 3), single(t, "away", "10m", 3)},
	}
	for round := range 2 {
		d := start(t, config)
		bus := dial(t, d, "test")
		js, err := jetstream.New(bus.Conn())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FOREIGN", Storage: jetstream.MemoryStorage, MaxBytes: 1 << 20}); err == nil {
			t.Error("another stream gets memory beyond the limit")
		}
		if round == 0 {
			begin(t, d.Client(), "away", 0, 140, 200_000)
		}
		leave := attend(t, bus, "well", new(participant.MemoryInbox), func(contract.Key) {})
		complete(t, d.Client(), begin(t, d.Client(), "well", 100*round, 100*round+20, 200_000))
		for _, name := range []string{"SAGA_COMMANDS", "SAGA_EVENTS"} {
			stream, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			info := stream.CachedInfo()
			if c := info.Config; c.Storage != jetstream.MemoryStorage || c.MaxBytes != bytes {
				t.Errorf("stream %s is in %s and may hold %d bytes", name, c.Storage, c.MaxBytes)
			}
			if name == "SAGA_COMMANDS" && (info.State.Bytes == 0 || info.State.Bytes > bytes*6/10) {
				t.Errorf("the absent participant holds %d of %d bytes, want about half", info.State.Bytes, bytes)
			}
		}
		leave()
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBusStorageIsSwitched checks that sagas in flight go on after the storage of an existing data
// directory is switched, in both directions, and that each step takes effect once (I2, I5).
func TestBusStorageIsSwitched(t *testing.T) {
	config := server.Config{DataDir: t.TempDir(), Definitions: []*saga.Definition{single(t, "well", "10m", 3)}}
	inbox := new(participant.MemoryInbox)
	var mu sync.Mutex
	effects := map[contract.Key]int{}
	var all []contract.SagaID
	for round, storage := range []server.Storage{server.StorageFile, server.StorageMemory, server.StorageFile, server.StorageMemory} {
		config.NATS.Storage = storage
		d := start(t, config)
		bus := dial(t, d, "test")
		leave := attend(t, bus, "well", inbox, func(key contract.Key) {
			mu.Lock()
			defer mu.Unlock()
			effects[key]++
		})
		complete(t, d.Client(), all) // those of the last round were in flight
		leave()
		all = append(all, begin(t, d.Client(), "well", 10*round, 10*round+10, 10)...)
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(effects) != 30 {
		t.Errorf("%d steps took effect, want 30", len(effects))
	}
	for key, n := range effects {
		if n != 1 {
			t.Errorf("%s took effect %d times", key, n)
		}
	}
}
