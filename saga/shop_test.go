package saga

import (
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
)

var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// The checkout that several tests of this package define.

type testLine struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

type testOrder struct {
	OrderID  string            `json:"order_id"`
	Customer int64             `json:"customer"`
	Amount   float64           `json:"amount"`
	Lines    []testLine        `json:"lines"`
	Note     string            `json:"note,omitempty"`
	Labels   map[string]string `json:"labels"`
	Placed   time.Time         `json:"placed"`
	Address  *testAddress      `json:"address"`
	Extra    any               `json:"extra"`
}

type testAddress struct {
	City string `json:"city"`
	Zip  string `json:"zip,omitempty"`
}

type testReserve struct {
	OrderID string     `json:"order_id"`
	Lines   []testLine `json:"lines"`
}

type testReserved struct {
	ReservationID string `json:"reservation_id"`
}

type testCharge struct {
	OrderID  string  `json:"order_id"`
	Customer int64   `json:"customer"`
	Amount   float64 `json:"amount"`
	Note     string  `json:"note,omitempty"`
}

type testReceipt struct {
	ReceiptID string `json:"receipt_id"`
	Number    int64  `json:"number"`
}

type testBook struct {
	OrderID string `json:"order_id"`
	Receipt string `json:"receipt"`
}

type testOrderID struct {
	OrderID string `json:"order_id"`
}

var (
	testReserveStock = contract.NewCommand[testReserve, testReserved]("inventory", "reserve-stock")
	testReleaseStock = contract.UndoOf(testReserveStock, "release-stock")
	testChargeCard   = contract.NewCommand[testCharge, testReceipt]("payment", "charge")
	testRefundCard   = contract.UndoOf(testChargeCard, "refund")
	testBookShipment = contract.NewCommand[testBook, struct{}]("shipping", "book")
	testConfirmOrder = contract.NewCommand[testOrderID, struct{}]("order", "confirm")
	testCheckFraud   = contract.NewCommand[testOrderID, struct{}]("fraud", "check")
)

const testChargeWith = `{"order_id": input.order_id, "customer": input.customer, "amount": input.amount}`

func testCheckout(parts ...Part) (*Definition, error) {
	return Define[testOrder]("checkout", append([]Part{
		Version(3), Deadline(10 * time.Minute), Timeout(20 * time.Second),
		Compensable("reserve-stock", Do(testReserveStock), Undo(testReleaseStock)),
		Parallel(
			Compensable("charge-card",
				Do(testChargeCard, With(testChargeWith), Timeout(5*time.Second), Retry(3, 200*time.Millisecond, 5*time.Second)),
				Undo(testRefundCard, Retry(50, 0, 0))),
			Sequence(
				Compensable("check-fraud", Do(testCheckFraud), NothingToUndo()),
				Compensable("check-again", Do(testCheckFraud), NothingToUndo()))),
		Pivot("book-shipment", Do(testBookShipment,
			With(`{"order_id": input.order_id, "receipt": result.charge_card.receipt_id}`))),
		Retriable("confirm-order", Do(testConfirmOrder)),
	}, parts...)...)
}

// request returns the data of step i's do.
func (d *Definition) request(i int, input []byte, results func(step int) []byte) ([]byte, error) {
	if d.steps[i].request == nil {
		return input, nil
	}
	data, err := d.steps[i].request.Make(input, results)
	if err != nil {
		return nil, fmt.Errorf("request of step %s: %w", d.steps[i].Name, err)
	}
	return data, nil
}
