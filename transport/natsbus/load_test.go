package natsbus_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// Load returns the load by stream and by waiting consumer.
func TestLoad(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	source, err := bus.Subscribe(t.Context(), transport.Subscription{
		Stream: transport.StreamCommands, Name: "stock", Subjects: []string{"saga.command.stock.>"}, MaxInFlight: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	batch := make([]transport.Envelope, 5)
	for i := range batch {
		batch[i] = transport.Envelope{
			Subject: "saga.command.stock.reserve", ID: "s1/7/reserve/do/1", Type: transport.TypeCommand, Saga: "s1", Birth: 7, Step: "reserve",
			Direction: "do", Attempt: 1, ReplyTo: "saga.event.stock.s1.7.reserve.do.1", Data: []byte("{}"),
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
	if s := load.Streams[transport.StreamCommands]; s.Messages != 5 || s.Bytes == 0 || len(load.Streams) != len(transport.Streams) {
		t.Errorf("streams: %+v", load.Streams)
	}
	if c := load.Consumers[0]; len(load.Consumers) != 1 || c.Name != "stock" || c.Delivered.IsZero() {
		t.Errorf("subscriptions: %+v", load.Consumers)
	}
}

// counted waits until the only consumer has the given numbers of pending commands and deliveries in
// flight. The server counts a stored message with a delay.
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

// TestLoadSaysHowFarTheyAre: the load contains the positions of deliveries and acknowledgements in
// the stream. They distinguish a busy participant from one that is stuck.
func TestLoadSaysHowFarTheyAre(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	s := inventory()
	s.MaxInFlight, s.Prefetch = 2, 1
	source := subscribe(t, bus, s)
	insist(t, bus, command("a"), command("b"), command("c"), command("d"))
	far := func(last, floor uint64, inFlight int) {
		t.Helper()
		for ctx, c := within(t), (transport.ConsumerLoad{}); ; {
			load, err := bus.Load(ctx)
			if err != nil {
				t.Fatalf("%+v, want %d given, %d acknowledged, %d in flight: %v", c, last, floor, inFlight, err)
			}
			if c = load.Consumers[0]; c.Last == last && c.AckFloor == floor && c.RawInFlight == inFlight && !load.Streams[transport.StreamCommands].Cut {
				return
			}
		}
	}
	var taken []transport.Delivery
	take := func(most int) {
		t.Helper()
		for len(taken) < most {
			deliveries, err := source.Receive(within(t), 1)
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, deliveries...)
		}
	}
	take(2)
	far(2, 0, 2)
	taken[0].Ack()
	take(3)
	far(3, 1, 2)
}

// TestCheckNamesTheStream: an error of one stream names that stream. The load of the others is
// still reported.
func TestCheckNamesTheStream(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	js, err := jetstream.New(bus.Conn())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []transport.Stream{transport.StreamLifecycle, transport.StreamDeadLetters} {
		stream, err := js.Stream(t.Context(), bus.StreamName(s))
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxMsgSize = 100
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	joined, ok := bus.Check(within(t)).(interface{ Unwrap() []error })
	if !ok {
		t.Fatal("Check joins nothing")
	}
	var of []transport.Stream
	for _, err := range joined.Unwrap() {
		var one *transport.StreamError
		var drift *natsbus.DriftError
		if !errors.As(err, &one) || !errors.As(err, &drift) || drift.Stream != bus.StreamName(one.Stream) {
			t.Errorf("%v is no drift of a stream", err)
			continue
		}
		of = append(of, one.Stream)
	}
	if !slices.Equal(of, []transport.Stream{transport.StreamLifecycle, transport.StreamDeadLetters}) {
		t.Errorf("it tells of %v", of)
	}
}

// TestLoadWithoutAStream: a stream that nobody reads may be missing. The load of the others is
// still reported.
func TestLoadWithoutAStream(t *testing.T) {
	server := start(t, embedded.Config{})
	owner := connect(t, server, nil)
	subscribe(t, owner, inventory())
	if err := owner.Close(); err != nil { // otherwise the bus would recreate the stream
		t.Fatal(err)
	}
	bus := connect(t, server, func(c *natsbus.Config) { c.Provision = natsbus.ProvisionAsk })
	js, err := jetstream.New(bus.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), bus.StreamName(transport.StreamLifecycle)); err != nil {
		t.Fatal(err)
	}
	load, err := bus.Load(within(t))
	if _, there := load.Streams[transport.StreamLifecycle]; err != nil || there || len(load.Streams) != len(transport.Streams)-1 || len(load.Consumers) != 1 {
		t.Errorf("%+v, %v", load, err)
	}
}
