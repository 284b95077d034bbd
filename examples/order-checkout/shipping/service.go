package shipping

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/participant"
)

// Schema is the schema of the service's database, with the carriers and the countries that they
// serve.
//
//go:embed schema.sql
var Schema string

// New returns the participant.
func New(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
	p := participant.New("shipping", inbox, options...)
	participant.Handle(p, checkout.BookShipment, book)
	return p
}

func book(ctx context.Context, tx *sql.Tx, s checkout.Shipment) (checkout.Booked, error) {
	var carrier string
	err := tx.QueryRowContext(ctx, `SELECT name FROM carrier WHERE country = ?`, s.Country).Scan(&carrier)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return checkout.Booked{}, participant.Rejectf("no carrier to %s", s.Country)
	case err != nil:
		return checkout.Booked{}, fmt.Errorf("find a carrier to %s: %w", s.Country, err)
	}
	var parcel int64
	err = tx.QueryRowContext(ctx, `INSERT INTO parcel (key, order_id, warehouse, carrier) VALUES (?, ?, ?, ?) RETURNING id`,
		participant.KeyFrom(ctx).String(), s.OrderID, s.Warehouse, carrier).Scan(&parcel)
	if err != nil {
		return checkout.Booked{}, fmt.Errorf("book a parcel for order %s: %w", s.OrderID, err)
	}
	for _, line := range s.Lines {
		if _, err := tx.ExecContext(ctx, `INSERT INTO content (parcel, sku, quantity) VALUES (?, ?, ?)`, parcel, line.SKU, line.Quantity); err != nil {
			return checkout.Booked{}, fmt.Errorf("pack the parcel for order %s: %w", s.OrderID, err)
		}
	}
	return checkout.Booked{Carrier: carrier, Tracking: tracking(carrier, parcel)}, nil
}

func tracking(carrier string, parcel int64) string { return fmt.Sprintf("%s-%05d", carrier, parcel) }
