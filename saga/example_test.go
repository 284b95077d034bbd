package saga_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

// The data of the commands. Such types and commands are declared in a package that the participant
// and the definition share.
type (
	Order struct {
		OrderID string `json:"order_id"`
		Lines   []Line `json:"lines"`
		Cents   int64  `json:"cents"`
		Coupon  string `json:"coupon,omitempty"`
	}
	Line struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}
	Reserve struct {
		OrderID string `json:"order_id"`
		Lines   []Line `json:"lines"`
	}
	Reserved struct {
		ReservationID string `json:"reservation_id"`
	}
	Charge struct {
		OrderID string `json:"order_id"`
		Cents   int64  `json:"cents"`
		Coupon  string `json:"coupon,omitempty"`
	}
	Receipt struct {
		ReceiptID string `json:"receipt_id"`
	}
	Book struct {
		OrderID   string `json:"order_id"`
		ReceiptID string `json:"receipt_id"`
	}
	Booked struct {
		Tracking string `json:"tracking"`
	}
	Check struct {
		OrderID string `json:"order_id"`
	}
)

var (
	ReserveStock = contract.NewCommand[Reserve, Reserved]("inventory", "reserve-stock")
	ReleaseStock = contract.UndoOf(ReserveStock, "release-stock")
	ChargeCard   = contract.NewCommand[Charge, Receipt]("payment", "charge")
	RefundCard   = contract.UndoOf(ChargeCard, "refund")
	CheckFraud   = contract.NewCommand[Check, struct{}]("fraud", "check")
	BookShipment = contract.NewCommand[Book, Booked]("shipping", "book")
	ConfirmOrder = contract.NewCommand[Check, struct{}]("order", "confirm")
)

// In this checkout, the stock is reserved first. Then the card is charged while the customer is
// checked. Booking the shipment is the point of no return.
func ExampleDefine() {
	checkout, err := saga.Define[Order]("checkout",
		saga.Version(2), saga.Deadline(10*time.Minute),

		saga.Compensable("reserve-stock", saga.Do(ReserveStock), saga.Undo(ReleaseStock)),
		saga.Parallel(
			saga.Compensable("charge-card",
				saga.Do(ChargeCard,
					saga.With(`{"order_id": input.order_id, "cents": input.cents, ?"coupon": input.?coupon}`),
					saga.Timeout(5*time.Second), saga.Retry(3, 200*time.Millisecond, 5*time.Second)),
				saga.Undo(RefundCard)),
			saga.Compensable("check-fraud", saga.Do(CheckFraud), saga.NothingToUndo())),
		saga.Pivot("book-shipment", saga.Do(BookShipment,
			saga.With(`{"order_id": input.order_id, "receipt_id": result.charge_card.receipt_id}`))),
		saga.Retriable("confirm-order", saga.Do(ConfirmOrder)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(checkout.Ref())
	for i := range checkout.Len() {
		step := checkout.Step(i)
		fmt.Printf("%-14s %-12s %s/%s\n", step.Name, step.Kind, step.Do.Participant, step.Do.Action)
	}
	// Output:
	// checkout/2
	// reserve-stock  compensable  inventory/reserve-stock
	// charge-card    compensable  payment/charge
	// check-fraud    compensable  fraud/check
	// book-shipment  pivot        shipping/book
	// confirm-order  retriable    order/confirm
}

// All problems are reported at once, each with its position and a fix.
func ExampleDefinitionError() {
	_, err := saga.Define[Order]("checkout",
		saga.Parallel(
			saga.Compensable("charge-card",
				saga.Do(ChargeCard, saga.With(`{"order_id": input.oder_id, "cents": input.cents}`)), saga.Undo(RefundCard)),
			saga.Pivot("book-shipment",
				saga.Do(BookShipment, saga.With(`{"order_id": input.order_id, "receipt_id": result.charge_card.receipt_id}`)))),
		saga.Retriable("confirm-order", saga.Do(ConfirmOrder, saga.Retry(-1, 0, 0))))

	if bad, ok := errors.AsType[*saga.DefinitionError](err); ok {
		for _, problem := range bad.Problems {
			fmt.Println(problem.Path)
			fmt.Println("  wrong:", problem.What)
			fmt.Println("  right:", problem.Fix)
		}
	}
	// Output:
	// steps[0].parallel[0] (charge-card).do.with
	//   wrong: line 1, column 19: undefined field 'oder_id'
	//   right: there is cents, coupon, lines, order_id
	// steps[0].parallel[1] (book-shipment)
	//   wrong: the pivot stands inside a parallel
	//   right: put it in the outermost sequence, so that everything else is clearly before or after it
	// steps[0].parallel[1] (book-shipment).do.with
	//   wrong: uses result.charge_card, but step charge-card runs beside this one in the same parallel
	//   right: it may not be done by then: put both into a sequence, or use input alone: no step is done before this one
	// steps[1] (confirm-order).do.retry.attempts
	//   wrong: is -1
	//   right: give 1 (never again) to 10000, or none for the default
}

// A field that may be missing has to be guarded; the definition is refused
// otherwise, instead of failing on the first order without a coupon.
func ExampleWith() {
	for _, with := range []string{
		`{"order_id": input.order_id, "cents": input.cents, "coupon": input.coupon}`,
		`{"order_id": input.order_id, "cents": input.cents, "coupon": has(input.coupon) ? input.coupon : "none"}`,
		`{"order_id": input.order_id, "cents": input.cents, "coupon": input.?coupon.orValue("none")}`,
		`{"order_id": input.order_id, "cents": input.cents, ?"coupon": input.?coupon}`,
	} {
		_, err := saga.Define[Order]("charge",
			saga.Compensable("charge-card", saga.Do(ChargeCard, saga.With(with)), saga.Undo(RefundCard)))
		fmt.Println(err == nil)
	}
	// Output:
	// false
	// true
	// true
	// true
}

// A definition that is given as data is checked in the same way, without the participants' Go
// types.
func ExampleParseJSON() {
	d, err := saga.ParseJSON([]byte(`{
		"name": "refund", "version": 1,
		"input": {"order_id": "string", "cents": "int"},
		"steps": [
			{"step": {"name": "pay-back", "kind": "retriable",
			          "do": {"participant": "payment", "action": "pay-back",
			                 "with": "{\"order\": input.order_id, \"euros\": double(input.cents) / 100.0}",
			                 "request": {"order": "string", "euros": "double"}}}}
		]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Ref(), d.Fingerprint()[:8])
	// Output: refund/1 c8727dfb
}

// The JSON form of a schema looks like the data that it describes.
func ExampleSchemaFor() {
	text, err := saga.SchemaFor[Order]().MarshalJSON()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(text))
	// Output: {"cents":"int","coupon?":"string","lines":[{"quantity":"int","sku":"string"}],"order_id":"string"}
}

// Accepts checks whether a caller's data is valid input for the definition.
func ExampleSchema_Accepts() {
	fmt.Println(saga.SchemaFor[Order]().Accepts([]byte(`{"order_id": 42, "lines": [{"sku": "tea"}]}`)))
	// Output:
	// cents is missing
	// lines[0].quantity is missing
	// order_id is a number, want string
}
