package payment

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

// Schema is the schema of the service's database, with the initial balances.
//
//go:embed schema.sql
var Schema string

// New returns the participant.
func New(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
	p := participant.New("payment", inbox, options...)
	participant.Handle(p, checkout.ChargeCard, charge)
	participant.HandleUndo(p, checkout.RefundCard, refund)
	return p
}

func charge(ctx context.Context, tx *sql.Tx, c checkout.Charge) (checkout.Receipt, error) {
	var balance int64
	err := tx.QueryRowContext(ctx, `SELECT balance FROM account WHERE card = ?`, c.Card).Scan(&balance)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return checkout.Receipt{}, participant.Reject("card declined: unknown card")
	case err != nil:
		return checkout.Receipt{}, fmt.Errorf("look up card %s: %w", c.Card, err)
	case balance < c.Cents:
		return checkout.Receipt{}, participant.Reject("card declined: not enough money")
	}
	entry, err := book(ctx, tx, c, c.Cents, c.Text)
	return checkout.Receipt{ReceiptID: receipt(entry)}, err
}

func refund(ctx context.Context, tx *sql.Tx, undo contract.Undo[checkout.Charge, checkout.Receipt]) error {
	_, err := book(ctx, tx, undo.Request, -undo.Request.Cents, undo.Request.Text+" (refund)")
	return err
}

// book charges cents to the card, or refunds them if cents is negative. It writes a ledger entry
// under the idempotency key.
func book(ctx context.Context, tx *sql.Tx, c checkout.Charge, cents int64, text string) (entry int64, err error) {
	if _, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance - ? WHERE card = ?`, cents, c.Card); err != nil {
		return 0, fmt.Errorf("book %d cents on card %s: %w", cents, c.Card, err)
	}
	err = tx.QueryRowContext(ctx, `INSERT INTO ledger (key, order_id, card, cents, text) VALUES (?, ?, ?, ?, ?) RETURNING id`,
		participant.KeyFrom(ctx).String(), c.OrderID, c.Card, cents, text).Scan(&entry)
	return entry, err
}

func receipt(entry int64) string { return fmt.Sprintf("R-%05d", entry) }
