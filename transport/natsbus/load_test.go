package natsbus_test

import (
	"testing"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// What lies on the bus, by stream, and what of it waits for whom.
func TestLoad(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source, err := bus.Subscribe(t.Context(), transport.Subscription{
		Stream: transport.Commands, Name: "stock", Subjects: []string{"saga.command.stock.>"}, MaxInFlight: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	batch := make([]transport.Envelope, 5)
	for i := range batch {
		batch[i] = transport.Envelope{
			Subject: "saga.command.stock.reserve", ID: "s1/reserve/do/1", Type: transport.TypeCommand, Saga: "s1", Step: "reserve",
			Direction: "do", Attempt: 1, ReplyTo: "saga.event.stock.s1.reserve.do.1", Data: []byte("{}"),
		}
	}
	if errs := bus.Publish(t.Context(), batch); errs != nil {
		t.Fatal(errs)
	}
	for got := 0; got < 2; {
		deliveries, err := source.Receive(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		got += len(deliveries)
	}
	load := counted(t, bus, 3, 2)
	if s := load.Streams[transport.Commands]; s.Messages != 5 || s.Bytes == 0 || len(load.Streams) != len(transport.Streams) {
		t.Errorf("streams: %+v", load.Streams)
	}
	if c := load.Consumers[0]; len(load.Consumers) != 1 || c.Name != "stock" || c.Delivered.IsZero() {
		t.Errorf("subscriptions: %+v", load.Consumers)
	}
}

// counted waits until so many commands wait for the only subscription and are in flight
// there: the server counts for it what it has stored a moment later.
func counted(t *testing.T, bus *natsbus.Bus, pending uint64, inFlight int) natsbus.Load {
	t.Helper()
	ctx, c := within(t), transport.ConsumerLoad{}
	for {
		load, err := bus.Load(ctx)
		if err != nil {
			t.Fatalf("%d wait and %d are in flight, want %d and %d: %v", c.Pending, c.InFlight, pending, inFlight, err)
		}
		if c = load.Consumers[0]; c.Pending == pending && c.InFlight == inFlight {
			return load
		}
	}
}
