package watermillcarrier_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/participant/watermillcarrier"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/natsbus/natswatermill"
)

// TestNATS runs a participant in a router. It answers commands of natsbus on a real server.
func TestNATS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: server.ClientURL(), Provision: natsbus.ProvisionCreate})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	conn, err := natstest.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	commands := natswatermill.Config{
		Conn: conn, NoProvision: true, Group: "counter",
		Stream: func(string) string { return bus.StreamName(transport.StreamCommands) },
	}
	subscriber, err := natswatermill.NewSubscriber(commands)
	if err != nil {
		t.Fatal(err)
	}
	events := natswatermill.Config{Conn: conn, NoProvision: true, Stream: func(string) string { return bus.StreamName(transport.StreamEvents) }}
	publisher, err := natswatermill.NewPublisher(events)
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	effects := 0
	router.AddHandler("counter", "saga.command.counter.>", subscriber, "by-subject", watermillcarrier.BySubject(publisher),
		watermillcarrier.Handler(newCounter(&effects)))
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()

	answers, err := bus.Subscribe(ctx, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	if errs := bus.Publish(ctx, []transport.Envelope{command("count"), command("count")}); errs != nil {
		t.Fatal(errs)
	}
	for got := 0; got < 2; {
		batch, err := answers.Receive(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range batch {
			if e := d.Envelope(); e.Type != transport.TypeCompleted || string(e.Data) != `"counted 3"` || e.Attempt != 1 {
				t.Errorf("answer %+v", e)
			}
			d.Ack()
			got++
		}
	}
	if effects != 1 {
		t.Errorf("counted %d times, expected once", effects)
	}
	if err := router.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
