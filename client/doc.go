// Package client starts, awaits, reads and operates sagas. It sends requests to a coordinator over
// the bus.
//
//	caller ──▶ Client ── saga.api.<method> ──▶ coordinator
//	             ▲                               │
//	             └─── api.Saga, or a Code ───────┘
//
// A start is idempotent by the saga's id. Start repeats the request with the same id until the
// coordinator has answered, and an answered start is on disk (I1, I2). Run also waits until the
// saga has ended or is parked. A complete caller:
//
//	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: "nats://127.0.0.1:4222"})
//	if err != nil {
//		return err
//	}
//	defer bus.Close()
//	c := client.New(bus)
//
//	ctx, cancel := context.WithTimeout(ctx, time.Minute)
//	defer cancel()
//	status, err := c.Run(ctx, contract.DefinitionRef{Name: "checkout"}, order, client.ID("order-42"))
//	switch {
//	case errors.Is(err, client.ErrConflict):
//		return fmt.Errorf("order-42 was placed before, with different content: %w", err)
//	case err != nil:
//		return err // the caller may call Run again, with the same id: a saga that was started goes on
//	}
//	if status.Phase != contract.PhaseCompleted {
//		return fmt.Errorf("order-42 was not carried out: %s", status.Reason)
//	}
//	receipt, err := client.Result[Receipt](status, "charge") // what a step answered
//
// A client keeps no state; a saga continues whether or not its caller waits. A client makes no
// decisions and has no connection of its own. The creator of the bus closes the bus.
//
// Do sends the requests of the API for which Client has no method, such as Count or GetOverview.
//
// Methods return an *Error with the operation, the saga, the coordinator's code and a reason. Use
// errors.Is to distinguish conditions (ErrConflict, ErrNotFound …). If the coordinator is
// overloaded, requests are retried after the suggested time. Starts are not: they return
// ErrOverloaded so that the caller can slow down, unless the client has RetryWhenOverloaded. After
// ErrUnavailable, the outcome is unknown. If a request is unsafe to repeat, its method documents
// this, as Operate does.
//
// A client serves any number of goroutines. By default it has at most 512 starts, and as many other
// requests, in flight (Concurrency). With tens of thousands of running sagas, do not wait for each
// of them. Instead, subscribe to saga.lifecycle.>, where the ends of sagas are announced (see the
// example of natsbus.Bus.Subscribe).
package client
