package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
)

type Order struct {
	ID string `json:"id"`
}

var (
	Reserve = contract.NewCommand[Order, struct{}]("inventory", "reserve")
	Release = contract.UndoOf(Reserve, "release")
	Ship    = contract.NewCommand[Order, struct{}]("shipping", "ship")

	Fulfil = saga.MustDefine[Order]("fulfil",
		saga.Compensable("reserve", saga.Do(Reserve), saga.Undo(Release)),
		saga.Pivot("ship", saga.Do(Ship)))
)

// A caller starts sagas, looks at them, decides about them, and waits for their end. Here
// the coordinator is in the same process; elsewhere, client.New takes a natsbus.Bus.
func Example() {
	ctx, c, stop := coordinator()
	defer stop()

	// The id is the caller's idempotency key: the same start again answers the same saga.
	for range 2 {
		s, err := c.Start(ctx, Fulfil, Order{"42"}, client.ID("order-42"))
		check(err)
		fmt.Println("started", s.ID, "existed:", s.Existed)
	}

	// Nobody serves its first step here.
	s, err := c.Get(ctx, "order-42")
	check(err)
	fmt.Println(s.Phase, s.Steps[0].Name, s.Steps[0].Status)

	// Whoever decides gives a name and a reason: both are part of the history.
	_, err = c.Operate(ctx, "order-42", transport.Decision{Operation: "pause", By: "kim", Reason: "stock-taking"})
	check(err)
	_, err = c.Cancel(ctx, "order-42", "kim", "the customer called")
	check(err)
	history, err := c.History(ctx, "order-42")
	check(err)
	for _, e := range history {
		fmt.Println(strings.TrimSpace(fmt.Sprintln(e.Revision, e.Type, e.Operation, e.Reason)))
	}

	for s, err := range c.All(ctx, transport.ListQuery{Filter: transport.Filter{Paused: true}}) {
		check(err)
		fmt.Println("paused:", s.ID)
	}
	// Output:
	// started order-42 existed: false
	// started order-42 existed: true
	// running reserve doing
	// 1 started
	// 2 operation_taken pause stock-taking
	// 3 operation_taken cancel the customer called
	// paused: order-42
}

// coordinator runs a coordinator that knows the definition, and no services.
func coordinator() (ctx context.Context, c *client.Client, stop func()) {
	dir, err := os.MkdirTemp("", "amends")
	check(err)
	s, err := server.New(server.Config{DataDir: dir, Definitions: []*saga.Definition{Fulfil}, Logger: slog.New(slog.DiscardHandler)})
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Started():
	case err := <-ended:
		check(err)
	}
	return ctx, s.Client(), func() {
		cancel()
		check(<-ended)
		check(os.RemoveAll(dir))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
