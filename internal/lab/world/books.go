//go:build linux && lab

package world

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/amends-dev/amends/contract"
)

// Line is one line of a participant's ledger.
type Line struct {
	Participant, Key, Step, Direction string
	Saga                              contract.SagaID
	Amount                            int64
}

// Books holds the books of some participants together.
type Books struct {
	Lines   []Line
	Balance int64 // sum over all accounts
	Opening int64 // initial sum over all accounts
}

// ReadBooks reads the books of all participants, each from the folder of dir with the participant's
// name.
func ReadBooks(ctx context.Context, dir string) (b Books, err error) {
	for _, name := range Participants {
		if err := b.Read(ctx, filepath.Join(dir, name), name); err != nil {
			return b, err
		}
	}
	return b, nil
}

// Read adds the books of one participant to b.
func (b *Books) Read(ctx context.Context, dir, name string) error {
	db, err := openBooks(ctx, dir, name)
	if err != nil {
		return err
	}
	defer db.Close()
	var balance int64
	if err := db.QueryRowContext(ctx, `SELECT sum(balance) FROM account`).Scan(&balance); err != nil {
		return fmt.Errorf("read the books of %s: %w", name, err)
	}
	b.Balance += balance
	b.Opening += Accounts * Initial
	rows, err := db.QueryContext(ctx, `SELECT key, saga, step, direction, amount FROM ledger ORDER BY rowid`)
	if err != nil {
		return fmt.Errorf("read the books of %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		l := Line{Participant: name}
		if err := rows.Scan(&l.Key, &l.Saga, &l.Step, &l.Direction, &l.Amount); err != nil {
			return fmt.Errorf("read the books of %s: %w", name, err)
		}
		b.Lines = append(b.Lines, l)
	}
	return rows.Err()
}
