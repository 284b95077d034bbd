// Package client starts sagas, waits for their outcome, reads and operates
// them, by asking a coordinator over the bus.
//
//	caller ──▶ Client ── saga.api.<method> ──▶ coordinator
//	             ▲                               │
//	             └────── Status, or a Code ──────┘
//
// A start is idempotent by the saga's id: Start sends it again with the same id
// until the coordinator has answered, and a start that was answered is on disk
// (I1, I2). Run is a start that returns when the saga has ended. A complete caller:
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
//		return fmt.Errorf("order-42 was placed before, with another content: %w", err)
//	case err != nil:
//		return err // the caller may call Run again, with the same id: a saga that was started goes on
//	}
//	if status.Phase != contract.Completed {
//		return fmt.Errorf("order-42 was not carried out: %s", status.Reason)
//	}
//	receipt, err := client.Result[Receipt](status, "charge") // what a step answered
//
// It does not keep anything: a saga runs whether or not its caller waits. It
// does not decide anything, and it holds no connection of its own; the bus
// belongs to whoever made it.
//
// Failure looks like an *Error: what was tried, on which saga, the
// coordinator's code and the reason in words. errors.Is tells the conditions
// apart (ErrConflict, ErrNotFound …). An overloaded coordinator is asked again when
// it says so, except to start: ErrOverloaded lets the caller slow down, unless the
// client has RetryWhenOverloaded. ErrUnavailable alone leaves the outcome open; what cannot be
// repeated without harm, such as Operate, says so.
//
// One client serves any number of goroutines, with at most 512 starts under way, and
// as many other requests (Concurrency). Whoever has tens of thousands of sagas under way listens to the
// announcements of their ends, saga.lifecycle.>, rather than wait for each.
package client
