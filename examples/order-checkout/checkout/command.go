package checkout

import "github.com/amends-dev/amends/contract"

// What the order service offers.
var (
	OpenOrder    = contract.NewCommand[Order, Opened]("order", "open-order")
	CancelOrder  = contract.UndoOf(OpenOrder, "cancel-order")
	ConfirmOrder = contract.NewCommand[Confirmation, Confirmed]("order", "confirm-order")
)

// What the inventory service offers.
var (
	ReserveStock = contract.NewCommand[Reservation, Reserved]("inventory", "reserve-stock")
	ReleaseStock = contract.UndoOf(ReserveStock, "release-stock")
)

// What the payment service offers.
var (
	ChargeCard = contract.NewCommand[Charge, Receipt]("payment", "charge-card")
	RefundCard = contract.UndoOf(ChargeCard, "refund-card")
)

// BookShipment is what the shipping service offers. A carrier that was called
// cannot be called back: there is no undo.
var BookShipment = contract.NewCommand[Shipment, Booked]("shipping", "book-shipment")

// Opened answers OpenOrder.
type Opened struct {
	Number int64 `json:"number"` // what the customer reads on the invoice
}

// Confirmation asks to close an order that is paid and shipped.
type Confirmation struct {
	OrderID  string `json:"order_id"`
	Receipt  string `json:"receipt"`
	Tracking string `json:"tracking"`
}

// Confirmed answers ConfirmOrder.
type Confirmed struct {
	Number int64 `json:"number"`
}

// Reservation asks to set stock aside: all lines or none.
type Reservation struct {
	OrderID string `json:"order_id"`
	Lines   []Line `json:"lines"`
}

// Reserved answers ReserveStock.
type Reserved struct {
	Warehouse string `json:"warehouse"` // where the goods are
}

// Charge asks to take money from a card.
type Charge struct {
	OrderID string `json:"order_id"`
	Card    string `json:"card"`
	Cents   int64  `json:"cents"`
	Text    string `json:"text"` // what the statement says
}

// Receipt answers ChargeCard.
type Receipt struct {
	ReceiptID string `json:"receipt_id"`
}

// Shipment asks a carrier to fetch the goods.
type Shipment struct {
	OrderID   string `json:"order_id"`
	Warehouse string `json:"warehouse"`
	Country   string `json:"country"`
	Lines     []Line `json:"lines"`
}

// Booked answers BookShipment.
type Booked struct {
	Carrier  string `json:"carrier"`
	Tracking string `json:"tracking"`
}
