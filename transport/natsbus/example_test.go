package natsbus_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
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
