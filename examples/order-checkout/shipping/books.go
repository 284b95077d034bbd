package shipping

import (
	"context"
	"database/sql"

	"github.com/amends-dev/amends/examples/order-checkout/database"
)

// Parcel is a parcel that was handed to a carrier.
type Parcel struct {
	ID                        int64
	Key, OrderID, Carrier, At string
}

// Tracking returns the tracking number of the parcel.
func (p *Parcel) Tracking() string { return tracking(p.Carrier, p.ID) }

// Content is a product and its quantity in a parcel.
type Content struct {
	Parcel   int64
	SKU      string
	Quantity int64
}

// Books holds all data of the service, for the audit.
type Books struct {
	Parcels  []Parcel
	Contents []Content
}

// Read reads the books in the order in which they were written.
func Read(ctx context.Context, db *sql.DB) (b Books, err error) {
	if b.Parcels, err = database.All(ctx, db, `SELECT id, key, order_id, carrier, at FROM parcel ORDER BY id`,
		func(p *Parcel) []any { return []any{&p.ID, &p.Key, &p.OrderID, &p.Carrier, &p.At} }); err != nil {
		return b, err
	}
	b.Contents, err = database.All(ctx, db, `SELECT parcel, sku, quantity FROM content ORDER BY rowid`,
		func(c *Content) []any { return []any{&c.Parcel, &c.SKU, &c.Quantity} })
	return b, err
}
