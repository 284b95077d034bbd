package main

import (
	"context"
	"database/sql"

	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

const bankSchema = `
	CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, balance INTEGER NOT NULL);
	INSERT OR IGNORE INTO account (name, balance) VALUES ('ada', 500), ('bob', 50);`

func newBank(inbox *sqlinbox.Inbox) *participant.Participant[*sql.Tx] {
	p := participant.New("bank", inbox)
	participant.Handle(p, TakeMoney, takeMoney)
	return p
}

func takeMoney(ctx context.Context, tx *sql.Tx, c Charge) (Receipt, error) {
	done, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance - ? WHERE name = ? AND balance >= ?`, c.Amount, c.Account, c.Amount)
	if err != nil {
		return Receipt{}, err
	}
	n, err := done.RowsAffected()
	if err != nil {
		return Receipt{}, err
	}
	if n == 0 {
		return Receipt{}, participant.Rejectf("%s cannot pay %d", c.Account, c.Amount)
	}
	return Receipt{ID: participant.KeyFrom(ctx).String()}, nil
}
