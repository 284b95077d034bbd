package inventory

import (
	"context"
	"database/sql"

	"github.com/amends-dev/amends/examples/order-checkout/database"
)

// Stock is the initial and the current quantity of a product.
type Stock struct {
	SKU             string
	Initial, OnHand int64
}

// Entry is a line of the ledger. The quantity is negative when reserved and positive when released.
type Entry struct {
	Key, OrderID, SKU, At string
	Quantity              int64
}

// Books holds all data of the service, for the audit.
type Books struct {
	Stock  []Stock
	Ledger []Entry
}

// Read reads the books in the order in which they were written.
func Read(ctx context.Context, db *sql.DB) (b Books, err error) {
	if b.Stock, err = database.All(ctx, db, `SELECT sku, initial, on_hand FROM stock ORDER BY sku`,
		func(s *Stock) []any { return []any{&s.SKU, &s.Initial, &s.OnHand} }); err != nil {
		return b, err
	}
	b.Ledger, err = database.All(ctx, db, `SELECT key, order_id, sku, quantity, at FROM ledger ORDER BY id`,
		func(e *Entry) []any { return []any{&e.Key, &e.OrderID, &e.SKU, &e.Quantity, &e.At} })
	return b, err
}
