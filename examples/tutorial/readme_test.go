package main_test

import (
	"slices"
	"testing"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

type Order struct {
	OrderID string `json:"order_id"`
	SKU     string `json:"sku"`
	Cents   int    `json:"cents"`
	Card    string `json:"card"`
}

type Reserved struct {
	Warehouse string `json:"warehouse"`
}

type Receipt struct {
	ReceiptID string `json:"receipt_id"`
}

type Shipment struct {
	OrderID   string `json:"order_id"`
	Warehouse string `json:"warehouse"`
}

type Confirmation struct {
	OrderID string `json:"order_id"`
	Receipt string `json:"receipt"`
}

var (
	OpenOrder    = contract.NewCommand[Order, struct{}]("order", "open-order")
	CancelOrder  = contract.UndoOf(OpenOrder, "cancel-order")
	ReserveStock = contract.NewCommand[Order, Reserved]("inventory", "reserve-stock")
	ReleaseStock = contract.UndoOf(ReserveStock, "release-stock")
	ChargeCard   = contract.NewCommand[Order, Receipt]("payment", "charge-card")
	RefundCard   = contract.UndoOf(ChargeCard, "refund-card")
	BookShipment = contract.NewCommand[Shipment, struct{}]("shipping", "book-shipment")
	ConfirmOrder = contract.NewCommand[Confirmation, struct{}]("order", "confirm-order")
)

var Checkout = saga.MustDefine[Order]("checkout",
	saga.Version(1),
	saga.Deadline(15*time.Minute),
	saga.Compensable("open-order", saga.Do(OpenOrder), saga.Undo(CancelOrder)),
	saga.Parallel(
		saga.Compensable("reserve-stock", saga.Do(ReserveStock), saga.Undo(ReleaseStock)),
		saga.Compensable("charge-card", saga.Do(ChargeCard, saga.Timeout(5*time.Second)), saga.Undo(RefundCard)),
	),
	saga.Pivot("book-shipment", saga.Do(BookShipment,
		saga.With(`{"order_id": input.order_id, "warehouse": result.reserve_stock.warehouse}`))),
	saga.Retriable("confirm-order", saga.Do(ConfirmOrder,
		saga.With(`{"order_id": input.order_id, "receipt": result.charge_card.receipt_id}`))),
)

// TestReadmeSaga checks what the README says about its saga. When the shipment is rejected, money
// and stock are undone in parallel, and then the order (I4).
func TestReadmeSaga(t *testing.T) {
	states := []compensation.State{compensation.Done, compensation.Done, compensation.Done, compensation.Rejected, compensation.Pending}
	state := func(step int) compensation.State { return states[step] }
	var waves [][]string
	for _, wave := range compensation.Plan(Checkout.Tree(), state) {
		var names []string
		for _, step := range wave {
			names = append(names, string(Checkout.Step(step).Name))
		}
		slices.Sort(names)
		waves = append(waves, names)
	}
	want := [][]string{{"charge-card", "reserve-stock"}, {"open-order"}}
	if !slices.EqualFunc(waves, want, slices.Equal[[]string]) {
		t.Errorf("the saga would go back by %v, want %v", waves, want)
	}
}
