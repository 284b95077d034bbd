package inventory

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/participant"
)

// Schema is the schema of the service's database, with the initial stock.
//
//go:embed schema.sql
var Schema string

// New returns the participant.
func New(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
	p := participant.New("inventory", inbox, options...)
	participant.Handle(p, checkout.ReserveStock, reserve)
	participant.HandleUndo(p, checkout.ReleaseStock, release)
	return p
}

func reserve(ctx context.Context, tx *sql.Tx, r checkout.Reservation) (checkout.Reserved, error) {
	for _, line := range r.Lines {
		var left int64
		err := tx.QueryRowContext(ctx, `SELECT on_hand FROM stock WHERE sku = ?`, line.SKU).Scan(&left)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return checkout.Reserved{}, participant.Rejectf("we have no %s", line.SKU)
		case err != nil:
			return checkout.Reserved{}, fmt.Errorf("look up the stock of %s: %w", line.SKU, err)
		case left < line.Quantity:
			return checkout.Reserved{}, participant.Rejectf("out of stock: %s (%d ordered, %d left)", line.SKU, line.Quantity, left)
		}
		if err := move(ctx, tx, r.OrderID, line.SKU, -line.Quantity); err != nil {
			return checkout.Reserved{}, err
		}
	}
	return checkout.Reserved{Warehouse: "Hamburg"}, nil
}

func release(ctx context.Context, tx *sql.Tx, undo contract.Undo[checkout.Reservation, checkout.Reserved]) error {
	for _, line := range undo.Request.Lines {
		if err := move(ctx, tx, undo.Request.OrderID, line.SKU, line.Quantity); err != nil {
			return err
		}
	}
	return nil
}

// move adds goods to the stock, or removes them if quantity is negative. It writes a ledger entry
// under the idempotency key.
func move(ctx context.Context, tx *sql.Tx, order, sku string, quantity int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE stock SET on_hand = on_hand + ? WHERE sku = ?`, quantity, sku); err != nil {
		return fmt.Errorf("change the stock by %d %s for order %s: %w", quantity, sku, order, err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO ledger (key, order_id, sku, quantity) VALUES (?, ?, ?, ?)`,
		participant.KeyFrom(ctx).String(), order, sku, quantity)
	return err
}
