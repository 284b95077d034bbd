package client_test

import (
	"context"
	"errors"
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
)

type (
	Order struct {
		ID string `json:"id"`
	}
	Parcel struct {
		Number int `json:"number"`
	}
)

var (
	Reserve = contract.NewCommand[Order, struct{}]("inventory", "reserve")
	Release = contract.UndoOf(Reserve, "release")
	Ship    = contract.NewCommand[Order, Parcel]("shipping", "ship")

	Fulfil = saga.MustDefine[Order]("fulfil",
		saga.Compensable("reserve", saga.Do(Reserve), saga.Undo(Release)),
		saga.Pivot("ship", saga.Do(Ship)))
)

// Start returns when the coordinator has stored the saga. The id is the caller's idempotency key: a
// start with the same id returns the same saga. In this example the coordinator is in the same
// process. In production, pass a natsbus.Bus to client.New.
func ExampleClient_Start() {
	ctx, c, stop := coordinator()
	defer stop()
	for range 2 {
		s, err := c.Start(ctx, Fulfil, Order{"42"}, client.ID("order-42"))
		check(err)
		fmt.Println("started", s.ID, "existed:", s.Existed)
	}
	s, err := c.Get(ctx, "order-42")
	check(err)
	fmt.Println(s.Phase, "reserve:", s.Step("reserve").Status) // no participant serves it
	// Output:
	// started order-42 existed: false
	// started order-42 existed: true
	// running reserve: doing
}

// An operator's decision needs a name and a reason. Both become part of the saga's history.
func ExampleClient_Operate() {
	ctx, c, stop := coordinator()
	defer stop()
	_, err := c.Start(ctx, Fulfil, Order{"42"}, client.ID("order-42"))
	check(err)
	_, err = c.Operate(ctx, "order-42", api.Decision{Operation: contract.OperationPause, By: "kim", Reason: "stock-taking"})
	check(err)
	for s, err := range c.All(ctx, api.ListRequest{Filter: api.Filter{Paused: true}}) {
		check(err)
		fmt.Println("paused:", s.ID)
	}
	history, err := c.History(ctx, "order-42")
	check(err)
	last := history[len(history)-1]
	fmt.Println(last.Operation, last.By, last.Reason)
	// Output:
	// paused: order-42
	// pause kim stock-taking
}

// A cancelled saga compensates, which undoes steps that may have taken effect.
func ExampleClient_Cancel() {
	cancelled := make(chan struct{})
	ctx, c, stop := coordinator(busyInventory(cancelled))
	defer stop()
	_, err := c.Start(ctx, Fulfil, Order{"42"}, client.ID("order-42"))
	check(err)
	_, err = c.Cancel(ctx, "order-42", api.Decision{By: "kim", Reason: "the customer called"})
	check(err)
	close(cancelled) // the reservation is now made, and then released
	s, err := c.Wait(ctx, "order-42")
	check(err)
	fmt.Println(s.Phase, s.Reason)
	// Output:
	// compensated cancelled by kim: the customer called
}

// Do sends the requests for which Client has no method, such as Count.
func ExampleDo() {
	ctx, c, stop := coordinator()
	defer stop()
	for _, id := range []contract.SagaID{"order-1", "order-2"} {
		_, err := c.Start(ctx, Fulfil, Order{string(id)}, client.ID(id))
		check(err)
	}
	open, err := client.Do[api.CountResponse](ctx, c, api.MethodCount, &api.CountRequest{Filter: api.Filter{Open: true}})
	check(err)
	for _, n := range open.Counts {
		fmt.Println(n.Definition, n.Phase, n.Sagas)
	}
	// Output:
	// fulfil/1 running 2
}

// An Error contains the operation and the reason. Use errors.Is to distinguish conditions.
func ExampleError() {
	ctx, c, stop := coordinator()
	defer stop()
	_, err := c.Start(ctx, contract.DefinitionRef{Name: "refund"}, 1, client.ID("refund-42"))
	fmt.Println(err)
	fmt.Println("not found:", errors.Is(err, client.ErrNotFound))
	// Output:
	// start saga refund-42: not found: unknown definition: "refund" is not registered: register it with: coordinator definition apply FILE
	// not found: true
}

// Run starts a saga and returns when it has ended. A caller that was interrupted calls Run again
// with the same id and gets the outcome.
func ExampleClient_Run() {
	ctx, c, stop := coordinator(inventory(), shipping())
	defer stop()
	for _, id := range []contract.SagaID{"order-42", "order-42", "order-to-the-moon"} {
		s, err := c.Run(ctx, Fulfil, Order{string(id)}, client.ID(id))
		check(err)
		fmt.Printf("%s %s %q existed: %t\n", s.ID, s.Phase, s.Reason, s.Existed)
	}

	_, err := c.Run(ctx, Fulfil, Order{"43"}, client.ID("order-42"))
	fmt.Println("conflict:", errors.Is(err, client.ErrConflict)) // the id exists with a different input
	// Output:
	// order-42 completed "" existed: false
	// order-42 completed "" existed: true
	// order-to-the-moon compensated "rejected at ship: no carrier to the moon" existed: false
	// conflict: true
}

// A saga that needs an operator is parked. Wait returns, and can be called again after the
// decision.
func ExampleClient_Wait() {
	ctx, c, stop := coordinator(inventory(), shipping())
	defer stop()
	_, err := c.Start(ctx, Fulfil, Order{"order-without-address"}, client.ID("order-without-address"))
	check(err)
	s, err := c.Wait(ctx, "order-without-address")
	check(err)
	fmt.Println(s.Phase, s.Reason)
	fmt.Println("legal:", s.Legal)

	_, err = c.Operate(ctx, s.ID, api.Decision{
		Operation: contract.OperationResolve, Step: "ship", Outcome: contract.OutcomeRejected,
		By: "kim", Reason: "the carrier does not have it",
	}, client.ExpectedRevision(s.Revision))
	check(err)
	s, err = c.Wait(ctx, s.ID)
	check(err)
	fmt.Println(s.Phase, s.Reason)
	// Output:
	// parked outcome of the do unknown after attempt 1: there is no address
	// legal: [retry ship resolve ship skip ship compensate abandon pause]
	// compensated rejected at ship by kim: the carrier does not have it
}

// The result of a step is decoded to its own type.
func ExampleResult() {
	ctx, c, stop := coordinator(inventory(), shipping())
	defer stop()
	s, err := c.Run(ctx, Fulfil, Order{"42"})
	check(err)
	parcel, err := client.Result[Parcel](s, "ship")
	check(err)
	fmt.Println("parcel", parcel.Number)
	// Output:
	// parcel 7
}

// The input of a saga is decoded to its own type. Only Get returns the input.
func ExampleInput() {
	ctx, c, stop := coordinator()
	defer stop()
	_, err := c.Start(ctx, Fulfil, Order{"42"}, client.ID("order-42"))
	check(err)
	s, err := c.Get(ctx, "order-42")
	check(err)
	order, err := client.Input[Order](s)
	check(err)
	fmt.Println("order", order.ID)
	// Output:
	// order 42
}

func inventory() service {
	free := make(chan struct{})
	close(free)
	return busyInventory(free)
}

// busyInventory does not answer until free is closed.
func busyInventory(free <-chan struct{}) service {
	p := participant.New("inventory", &participant.MemoryInbox{})
	participant.Handle(p, Reserve, participant.NoResult(func(context.Context, *participant.MemoryTx, Order) error {
		<-free
		return nil
	}))
	participant.HandleUndo(p, Release, participant.NoUndo)
	return p
}

func shipping() service {
	p := participant.New("shipping", &participant.MemoryInbox{})
	participant.Handle(p, Ship, func(_ context.Context, _ *participant.MemoryTx, o Order) (Parcel, error) {
		switch o.ID {
		case "order-to-the-moon":
			return Parcel{}, participant.Reject("no carrier to the moon")
		case "order-without-address":
			return Parcel{}, participant.Fatal(errors.New("there is no address"))
		}
		return Parcel{7}, nil
	})
	return p
}

// service is any participant, independent of its transaction type.
type service interface {
	Run(ctx context.Context, bus transport.Bus) error
}

// coordinator runs a coordinator with the definition, and the given services.
func coordinator(services ...service) (ctx context.Context, c *client.Client, stop func()) {
	dir, err := os.MkdirTemp("", "amends")
	check(err)
	ctx = context.Background()
	s, err := server.Start(ctx, server.Config{DataDir: dir, Definitions: []*saga.Definition{Fulfil}, Logger: slog.New(slog.DiscardHandler)})
	check(err)
	bus, err := s.Connect(ctx, "services")
	check(err)
	serving, leave := context.WithCancel(ctx)
	left := make(chan error, len(services))
	for _, p := range services {
		go func() { left <- p.Run(serving, bus) }()
	}
	return ctx, s.Client(), func() {
		leave()
		for range services {
			check(<-left)
		}
		check(bus.Close())
		check(s.Stop(ctx))
		check(os.RemoveAll(dir))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
