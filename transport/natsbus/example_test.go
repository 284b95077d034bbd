package natsbus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

type Parcel struct {
	To string `json:"to"`
}

var (
	SendParcel = contract.NewCommand[Parcel, string]("post", "send-parcel")
	Delivery   = saga.MustDefine[Parcel]("delivery", saga.Pivot("send", saga.Do(SendParcel)))
)

// A service answers commands and also starts sagas, over one connection to a NATS server.
func Example() {
	url, stop := coordinator()
	defer stop()
	ctx := context.Background()
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: url, Name: "post"})
	check(err)
	defer bus.Close()

	p := participant.New("post", &participant.MemoryInbox{}) // a service with a database uses sqlinbox or boltinbox
	participant.Handle(p, SendParcel, func(_ context.Context, _ *participant.MemoryTx, parcel Parcel) (string, error) {
		fmt.Println("sent to", parcel.To)
		return "tracking-1", nil
	})
	serving, leave := context.WithCancel(ctx)
	left := make(chan error, 1)
	go func() { left <- p.Run(serving, bus) }()

	c := client.New(bus)
	_, err = c.Register(ctx, Delivery)
	check(err)
	status, err := c.Run(ctx, Delivery, Parcel{"Oslo"}, client.ID("delivery-1"))
	check(err)
	tracking, err := client.Result[string](status, "send")
	check(err)
	fmt.Println(status.ID, status.Phase, tracking)

	leave()
	check(<-left)
	// Output:
	// sent to Oslo
	// delivery-1 completed tracking-1
}

// A program that receives every announcement. Its position is stored under its name: after a
// restart it continues where it stopped.
func ExampleBus_Subscribe() {
	url, stop := coordinator()
	defer stop()
	ctx := context.Background()
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: url, Name: "archive", Provision: natsbus.ProvisionCreate})
	check(err)
	defer bus.Close()
	announced, err := bus.Subscribe(ctx, transport.Subscription{Stream: transport.StreamLifecycle, Name: "archive"})
	check(err)
	defer announced.Close()

	c := client.New(bus)
	_, err = c.Register(ctx, Delivery)
	check(err)
	_, err = c.Start(ctx, Delivery, Parcel{"Oslo"}, client.ID("delivery-2"))
	check(err)
	_, err = c.Cancel(ctx, "delivery-2", api.Decision{By: "ada", Reason: "sold out"})
	check(err)
	for range 2 {
		batch, err := announced.Receive(ctx, 1)
		check(err)
		for _, d := range batch {
			var s api.Saga
			check(json.Unmarshal(d.Envelope().Data, &s))
			fmt.Println(s.ID, s.Phase, "revision", s.Revision)
			d.Ack()
		}
	}
	// Output:
	// delivery-2 running revision 1
	// delivery-2 running revision 2
}

// coordinator runs a coordinator that embeds a NATS server on a free port, and returns the
// server's address.
func coordinator() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "amends")
	check(err)
	s, err := server.Start(context.Background(), server.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	check(err)
	return s.Addresses().NATS, func() {
		check(s.Stop(context.Background()))
		check(os.RemoveAll(dir))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
