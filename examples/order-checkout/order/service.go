package order

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/participant"
)

// Schema is the schema of the service's database.
//
//go:embed schema.sql
var Schema string

// New returns the participant.
func New(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
	p := participant.New("order", inbox, options...)
	participant.Handle(p, checkout.OpenOrder, open)
	participant.HandleUndo(p, checkout.CancelOrder, cancel)
	participant.Handle(p, checkout.ConfirmOrder, confirm)
	return p
}

func open(ctx context.Context, tx *sql.Tx, o checkout.Order) (checkout.Opened, error) {
	if err := o.Check(); err != nil {
		return checkout.Opened{}, participant.Rejectf("not an order: %v", err)
	}
	var number int64
	err := tx.QueryRowContext(ctx, `INSERT INTO orders (order_id, scenario, customer, total_cents, status)
		VALUES (?, ?, ?, ?, 'open') RETURNING number`, o.OrderID, o.Scenario, o.Customer, o.TotalCents).Scan(&number)
	if err != nil {
		return checkout.Opened{}, fmt.Errorf("open order %s: %w", o.OrderID, err)
	}
	for _, line := range o.Lines {
		if _, err := tx.ExecContext(ctx, `INSERT INTO line (order_id, sku, quantity) VALUES (?, ?, ?)`, o.OrderID, line.SKU, line.Quantity); err != nil {
			return checkout.Opened{}, fmt.Errorf("write the lines of order %s: %w", o.OrderID, err)
		}
	}
	return checkout.Opened{Number: number}, note(ctx, tx, o.OrderID, "open")
}

func cancel(ctx context.Context, tx *sql.Tx, undo contract.Undo[checkout.Order, checkout.Opened]) error {
	id := undo.Request.OrderID
	if _, err := tx.ExecContext(ctx, `UPDATE orders SET status = 'cancelled' WHERE order_id = ?`, id); err != nil {
		return fmt.Errorf("cancel order %s: %w", id, err)
	}
	return note(ctx, tx, id, "cancelled")
}

func confirm(ctx context.Context, tx *sql.Tx, c checkout.Confirmation) (checkout.Confirmed, error) {
	var number int64
	err := tx.QueryRowContext(ctx, `UPDATE orders SET status = 'confirmed', receipt = ?, tracking = ?
		WHERE order_id = ? RETURNING number`, c.Receipt, c.Tracking, c.OrderID).Scan(&number)
	if err != nil {
		return checkout.Confirmed{}, fmt.Errorf("confirm order %s: %w", c.OrderID, err)
	}
	return checkout.Confirmed{Number: number}, note(ctx, tx, c.OrderID, "confirmed")
}

// note adds a ledger entry under the idempotency key.
func note(ctx context.Context, tx *sql.Tx, id, status string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO ledger (key, order_id, status) VALUES (?, ?, ?)`,
		participant.KeyFrom(ctx).String(), id, status)
	return err
}
