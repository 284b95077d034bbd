package order

import (
	"context"
	"database/sql"

	"github.com/amends-dev/amends/examples/order-checkout/database"
)

// Row is an order in the service's database.
type Row struct {
	OrderID, Scenario, Status, Receipt, Tracking string
	TotalCents                                   int64
}

// Line is a product and its quantity in an order.
type Line struct {
	OrderID, SKU string
	Quantity     int64
}

// Entry is a line of the ledger.
type Entry struct {
	Key, OrderID, Status, At string
}

// Books holds all data of the service, for the audit.
type Books struct {
	Orders []Row
	Lines  []Line
	Ledger []Entry
}

// Read reads the books in the order in which they were written.
func Read(ctx context.Context, db *sql.DB) (b Books, err error) {
	if b.Orders, err = database.All(ctx, db, `SELECT order_id, scenario, status, receipt, tracking, total_cents FROM orders ORDER BY number`,
		func(r *Row) []any {
			return []any{&r.OrderID, &r.Scenario, &r.Status, &r.Receipt, &r.Tracking, &r.TotalCents}
		}); err != nil {
		return b, err
	}
	if b.Lines, err = database.All(ctx, db, `SELECT order_id, sku, quantity FROM line ORDER BY rowid`,
		func(l *Line) []any { return []any{&l.OrderID, &l.SKU, &l.Quantity} }); err != nil {
		return b, err
	}
	b.Ledger, err = database.All(ctx, db, `SELECT key, order_id, status, at FROM ledger ORDER BY id`,
		func(e *Entry) []any { return []any{&e.Key, &e.OrderID, &e.Status, &e.At} })
	return b, err
}
