package definition

import (
	"time"

	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/saga"
)

// Checkout opens an order, reserves the stock, charges the card, books a shipment and confirms the
// order. If a step before the shipment fails, the completed steps are undone in reverse order.
var Checkout = saga.MustDefine[checkout.Order]("checkout",
	saga.Deadline(5*time.Minute),
	saga.Timeout(10*time.Second),

	saga.Compensable("open-order",
		saga.Do(checkout.OpenOrder),
		saga.Undo(checkout.CancelOrder)),

	saga.Compensable("reserve-stock",
		saga.Do(checkout.ReserveStock, saga.With(`{"order_id": input.order_id, "lines": input.lines}`)),
		saga.Undo(checkout.ReleaseStock)),

	saga.Compensable("charge-card",
		saga.Do(checkout.ChargeCard, saga.Timeout(2*time.Second), saga.Retry(3, 200*time.Millisecond, time.Second), saga.With(`{
			"order_id": input.order_id,
			"card":     input.card,
			"cents":    input.total_cents,
			"text":     "Order No. " + string(result.open_order.number)}`)),
		saga.Undo(checkout.RefundCard)),

	saga.Pivot("book-shipment",
		saga.Do(checkout.BookShipment, saga.Retry(30, time.Second, 10*time.Second), saga.With(`{
			"order_id":  input.order_id,
			"warehouse": result.reserve_stock.warehouse,
			"country":   input.country,
			"lines":     input.lines}`))),

	saga.Retriable("confirm-order",
		saga.Do(checkout.ConfirmOrder, saga.With(`{
			"order_id": input.order_id,
			"receipt":  result.charge_card.receipt_id,
			"tracking": result.book_shipment.tracking}`))),
)
