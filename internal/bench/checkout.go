package bench

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
)

// order is the input, about 200 bytes of JSON. done is the result of each step, about 100 bytes.
type order struct {
	OrderID  int64  `json:"order_id"`
	Customer string `json:"customer"`
	Lines    []line `json:"lines"`
	Note     string `json:"note"`
}

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Cents    int    `json:"cents"`
}

type done struct {
	OrderID int64  `json:"order_id"`
	Note    string `json:"note"`
}

func input(n int64) order {
	return order{n, "customer-0042", []line{{"tea-earl-grey-100g", 2, 790}, {"cup-porcelain-white", 1, 1490}}, strings.Repeat("n", 40)}
}

var (
	reserve = contract.NewCommand[order, done]("inventory", "reserve-inventory")
	release = contract.UndoOf(reserve, "release-inventory")
	charge  = contract.NewCommand[order, done]("payment", "charge-payment")
	refund  = contract.UndoOf(charge, "refund-payment")
	ship    = contract.NewCommand[order, done]("shipping", "create-shipment")
	confirm = contract.NewCommand[order, done]("order", "confirm-order")

	// With a hundred thousand sagas in flight, a step takes longer than the default timeout of 30
	// seconds.
	late = saga.Timeout(10 * time.Minute)

	checkout = saga.MustDefine[order]("checkout",
		saga.Compensable("reserve-inventory", saga.Do(reserve, late), saga.Undo(release, late)),
		saga.Compensable("charge-payment", saga.Do(charge, late), saga.Undo(refund, late)),
		saga.Pivot("create-shipment", saga.Do(ship, late)),
		saga.Retriable("confirm-order", saga.Do(confirm, late)))
)

// services returns the four participants; their handlers do nothing.
func services(mix Mix, quiet *slog.Logger) []*participant.Participant[*participant.MemoryTx] {
	named := map[string]*participant.Participant[*participant.MemoryTx]{}
	var all []*participant.Participant[*participant.MemoryTx]
	for _, name := range []string{"inventory", "payment", "shipping", "order"} {
		named[name] = participant.New(name, &participant.MemoryInbox{}, participant.Logger(quiet), participant.Concurrency(64))
		all = append(all, named[name])
	}
	note := strings.Repeat("r", 60)
	answer := func(o order) done { return done{o.OrderID, note} }
	do := func(_ context.Context, _ *participant.MemoryTx, o order) (done, error) { return answer(o), nil }
	undo := func(context.Context, *participant.MemoryTx, contract.Undo[order, done]) error { return nil }
	participant.Handle(named["inventory"], reserve, do)
	participant.HandleUndo(named["inventory"], release, undo)
	participant.Handle(named["payment"], charge, do)
	participant.HandleUndo(named["payment"], refund, undo)
	participant.Handle(named["order"], confirm, do)
	participant.Handle(named["shipping"], ship, func(_ context.Context, _ *participant.MemoryTx, o order) (done, error) {
		if mix == Compensating {
			return done{}, participant.Reject("no carrier")
		}
		return answer(o), nil
	})
	return all
}
