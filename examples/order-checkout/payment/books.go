package payment

import (
	"context"
	"database/sql"

	"github.com/amends-dev/amends/examples/order-checkout/database"
)

// Account is the initial and the current balance of a card, in cents.
type Account struct {
	Card             string
	Initial, Balance int64
}

// Entry is a line of the ledger. Its amount in cents is positive for a charge and negative for a
// refund.
type Entry struct {
	ID                     int64
	Key, OrderID, Card, At string
	Cents                  int64
}

// Receipt returns the receipt number of the charge.
func (e *Entry) Receipt() string { return receipt(e.ID) }

// Books holds all data of the service, for the audit.
type Books struct {
	Accounts []Account
	Ledger   []Entry
}

// Read reads the books in the order in which they were written.
func Read(ctx context.Context, db *sql.DB) (b Books, err error) {
	if b.Accounts, err = database.All(ctx, db, `SELECT card, initial, balance FROM account ORDER BY card`,
		func(a *Account) []any { return []any{&a.Card, &a.Initial, &a.Balance} }); err != nil {
		return b, err
	}
	b.Ledger, err = database.All(ctx, db, `SELECT id, key, order_id, card, cents, at FROM ledger ORDER BY id`,
		func(e *Entry) []any { return []any{&e.ID, &e.Key, &e.OrderID, &e.Card, &e.Cents, &e.At} })
	return b, err
}
