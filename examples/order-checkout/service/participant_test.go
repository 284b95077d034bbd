package service

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/examples/order-checkout/database"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

// start returns the participant of a service with a new database.
func start(t *testing.T, name string) (*participant.Participant[*sql.Tx], *sql.DB) {
	t.Helper()
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), name+".db"), kinds[name].schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	if err := inbox.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return kinds[name].make(inbox), db
}

// count queries the service's own database.
func count(t testing.TB, db *sql.DB, query, order string) (n int) {
	t.Helper()
	if err := db.QueryRow(query, order).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOrder(t *testing.T) {
	p, db := start(t, "order")
	request := func(quantity int64) checkout.Order {
		return checkout.Order{
			OrderID: uuid.NewString(), Customer: "Ada", Country: "Denmark", Card: "visa-ada",
			Lines: []checkout.Line{{SKU: "lamp", Quantity: quantity, UnitCents: 1}}, TotalCents: quantity,
		}
	}
	participanttest.Run(t, participanttest.Step[checkout.Order, checkout.Opened]{
		Answer: p.Answer, Do: checkout.OpenOrder, Undo: checkout.CancelOrder,
		Request:  func() checkout.Order { return request(1) },
		Rejected: func() checkout.Order { return request(0) },
		Effects: func(t testing.TB, o checkout.Order) int {
			return count(t, db, `SELECT count(*) FILTER (WHERE status = 'open') - count(*) FILTER (WHERE status = 'cancelled') FROM ledger WHERE order_id = ?`, o.OrderID)
		},
	})
}

func TestInventory(t *testing.T) {
	p, db := start(t, "inventory")
	participanttest.Run(t, participanttest.Step[checkout.Reservation, checkout.Reserved]{
		Answer: p.Answer, Do: checkout.ReserveStock, Undo: checkout.ReleaseStock,
		Request: func() checkout.Reservation {
			return checkout.Reservation{OrderID: uuid.NewString(), Lines: []checkout.Line{{SKU: "lamp", Quantity: 1}}}
		},
		Rejected: func() checkout.Reservation { // the lamp is in stock, but the globes are not
			return checkout.Reservation{OrderID: uuid.NewString(), Lines: []checkout.Line{{SKU: "lamp", Quantity: 1}, {SKU: "globe", Quantity: 4}}}
		},
		Effects: func(t testing.TB, r checkout.Reservation) int {
			return count(t, db, `SELECT coalesce(-sum(quantity), 0) FROM ledger WHERE order_id = ?`, r.OrderID)
		},
	})
}

func TestPayment(t *testing.T) {
	p, db := start(t, "payment")
	participanttest.Run(t, participanttest.Step[checkout.Charge, checkout.Receipt]{
		Answer: p.Answer, Do: checkout.ChargeCard, Undo: checkout.RefundCard,
		Request: func() checkout.Charge { return checkout.Charge{OrderID: uuid.NewString(), Card: "visa-ada", Cents: 1} },
		Rejected: func() checkout.Charge {
			return checkout.Charge{OrderID: uuid.NewString(), Card: "visa-empty", Cents: 501}
		},
		Effects: func(t testing.TB, c checkout.Charge) int {
			return count(t, db, `SELECT coalesce(sum(cents), 0) FROM ledger WHERE order_id = ?`, c.OrderID)
		},
	})
}

func TestShipping(t *testing.T) {
	p, db := start(t, "shipping")
	request := func(country string) checkout.Shipment {
		return checkout.Shipment{OrderID: uuid.NewString(), Warehouse: "Hamburg", Country: country, Lines: []checkout.Line{{SKU: "lamp", Quantity: 1}}}
	}
	participanttest.Run(t, participanttest.Step[checkout.Shipment, checkout.Booked]{
		Answer: p.Answer, Do: checkout.BookShipment,
		Request:  func() checkout.Shipment { return request("Denmark") },
		Rejected: func() checkout.Shipment { return request("Atlantis") },
		Effects: func(t testing.TB, s checkout.Shipment) int {
			return count(t, db, `SELECT count(*) FROM parcel JOIN content ON parcel.id = content.parcel WHERE order_id = ?`, s.OrderID)
		},
	})
}
