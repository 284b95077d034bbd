package checkout

import "github.com/amends-dev/amends/contract"

// Commands of the order service.
var (
	OpenOrder    = contract.NewCommand[Order, Opened]("order", "open-order")
	CancelOrder  = contract.UndoOf(OpenOrder, "cancel-order")
	ConfirmOrder = contract.NewCommand[Confirmation, Confirmed]("order", "confirm-order")
)

// Commands of the inventory service.
var (
	ReserveStock = contract.NewCommand[Reservation, Reserved]("inventory", "reserve-stock")
	ReleaseStock = contract.UndoOf(ReserveStock, "release-stock")
)

// Commands of the payment service.
var (
	ChargeCard = contract.NewCommand[Charge, Receipt]("payment", "charge-card")
	RefundCard = contract.UndoOf(ChargeCard, "refund-card")
)

// BookShipment is the command of the shipping service. It has no undo, because a shipment cannot be
// recalled.
var BookShipment = contract.NewCommand[Shipment, Booked]("shipping", "book-shipment")

// Opened is the result of OpenOrder.
type Opened struct {
	Number int64 `json:"number"` // printed on the customer's invoice
}

// Confirmation requests to close an order that is paid and shipped.
type Confirmation struct {
	OrderID  string `json:"order_id"`
	Receipt  string `json:"receipt"`
	Tracking string `json:"tracking"`
}

// Confirmed is the result of ConfirmOrder.
type Confirmed struct {
	Number int64 `json:"number"`
}

// Reservation requests stock for all lines of an order or none.
type Reservation struct {
	OrderID string `json:"order_id"`
	Lines   []Line `json:"lines"`
}

// Reserved is the result of ReserveStock.
type Reserved struct {
	Warehouse string `json:"warehouse"` // the warehouse that holds the goods
}

// Charge requests to charge a card.
type Charge struct {
	OrderID string `json:"order_id"`
	Card    string `json:"card"`
	Cents   int64  `json:"cents"`
	Text    string `json:"text"` // printed on the customer's statement
}

// Receipt is the result of ChargeCard.
type Receipt struct {
	ReceiptID string `json:"receipt_id"`
}

// Shipment requests that a carrier collects the goods.
type Shipment struct {
	OrderID   string `json:"order_id"`
	Warehouse string `json:"warehouse"`
	Country   string `json:"country"`
	Lines     []Line `json:"lines"`
}

// Booked is the result of BookShipment.
type Booked struct {
	Carrier  string `json:"carrier"`
	Tracking string `json:"tracking"`
}
