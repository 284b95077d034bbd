package natsbus_test

import (
	"testing"

	"github.com/amends-dev/amends/transport"
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
	// The server counts for a subscription what it has stored a moment later.
	ctx, c := within(t), transport.ConsumerLoad{}
	for c.Name != "stock" || c.Pending != 3 || c.InFlight != 2 || c.Delivered.IsZero() {
		load, err := bus.Load(ctx)
		if err != nil {
			t.Fatalf("5 commands, of which 2 were given, are seen as %+v: %v", c, err)
		}
		if s := load.Streams[transport.Commands]; s.Messages != 5 || s.Bytes == 0 || len(load.Streams) != len(transport.Streams) {
			t.Fatalf("streams: %+v", load.Streams)
		}
		if len(load.Consumers) != 1 {
			t.Fatalf("subscriptions: %+v", load.Consumers)
		}
		c = load.Consumers[0]
	}
}
