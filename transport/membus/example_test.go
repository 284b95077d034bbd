package membus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport/membus"
)

// A coordinator, a service and a caller run in one process without durability, NATS or files.
func Example() {
	greet := contract.NewCommand[string, string]("greeter", "greet")
	greeting := saga.MustDefine[string]("greeting", saga.Pivot("greet", saga.Do(greet)))

	bus := membus.New(membus.Options{})
	defer bus.Close()
	c, err := coordinator.New(coordinator.Config{
		Store: memstore.New(), Bus: bus, Definitions: []*saga.Definition{greeting}, Logger: slog.New(slog.DiscardHandler),
	})
	check(err)
	greeter := participant.New("greeter", &participant.MemoryInbox{})
	participant.Handle(greeter, greet, func(_ context.Context, _ *participant.MemoryTx, name string) (string, error) {
		return "hello, " + name, nil
	})

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- c.Run(ctx) }()
	go func() { ended <- greeter.Run(ctx, bus) }()
	<-c.Started()

	status, err := client.New(bus).Run(ctx, greeting, "ada")
	check(err)
	said, err := client.Result[string](status, "greet")
	check(err)
	fmt.Println(status.Phase, said)
	stop()
	check(errors.Join(<-ended, <-ended))
	// Output:
	// completed hello, ada
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
