//go:build linux && lab

package reliability

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
)

// The money of the bank on the first day, in every account of it.
const (
	accounts = 16
	initial  = 1_000_000_000
	penury   = accounts // the account that has nothing
)

// transfer is the input of a saga: move money from an account of the bank to
// one at the clearing house.
type transfer struct {
	From   int   `json:"from"`
	To     int   `json:"to"`
	Amount int64 `json:"amount"`
	Refuse bool  `json:"refuse"` // the pivot says no
}

// The commands.
var (
	reserve  = contract.NewCommand[transfer, int]("bank", "reserve")
	release  = contract.UndoOf(reserve, "release")
	earmark  = contract.NewCommand[transfer, int]("clearing", "earmark")
	forget   = contract.UndoOf(earmark, "forget")
	settle   = contract.NewCommand[transfer, int]("clearing", "settle")
	announce = contract.NewCommand[transfer, int]("post", "announce")
)

// transferMoney has a timeout and few attempts, so that faults of seconds make
// outcomes unknown; beyond the first steps it never gives up.
var transferMoney = saga.MustDefine[transfer]("transfer",
	saga.Timeout(time.Second), saga.Retry(10_000, 50*time.Millisecond, 500*time.Millisecond),
	saga.Compensable("reserve", saga.Do(reserve, saga.Retry(2, 0, 0)), saga.Undo(release)),
	saga.Compensable("earmark", saga.Do(earmark, saga.Retry(2, 0, 0)), saga.Undo(forget)),
	saga.Pivot("settle", saga.Do(settle)),
	saga.Retriable("announce", saga.Do(announce)),
)

// schema of every participant's books. Nothing keeps a key from being booked
// twice, for that is what the audit looks for.
var schema = fmt.Sprintf(`
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (
	key TEXT NOT NULL, saga TEXT NOT NULL, step TEXT NOT NULL, direction TEXT NOT NULL,
	account INTEGER NOT NULL, amount INTEGER NOT NULL);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
	INSERT OR IGNORE INTO account SELECT i, CASE WHEN i < %d THEN %d ELSE 0 END FROM n;`, penury, accounts, initial)

// participants by name.
var participants = map[string]func(participant.Inbox[*sql.Tx], ...participant.Option) *participant.Participant[*sql.Tx]{
	"bank": func(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
		p := participant.New("bank", inbox, options...)
		participant.Handle(p, reserve, func(ctx context.Context, tx *sql.Tx, t transfer) (int, error) {
			var balance int64
			if err := tx.QueryRowContext(ctx, `SELECT balance FROM account WHERE id = ?`, t.From).Scan(&balance); err != nil {
				return 0, err
			}
			if balance < t.Amount {
				return 0, participant.Reject("not enough money")
			}
			return t.From, book(ctx, tx, t.From, -t.Amount)
		})
		participant.HandleUndo(p, release, func(ctx context.Context, tx *sql.Tx, u contract.Undo[transfer, int]) error {
			return book(ctx, tx, u.Request.From, u.Request.Amount)
		})
		return p
	},
	"clearing": func(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
		p := participant.New("clearing", inbox, options...)
		participant.Handle(p, earmark, func(ctx context.Context, tx *sql.Tx, t transfer) (int, error) {
			return t.To, book(ctx, tx, t.To, 0)
		})
		participant.HandleUndo(p, forget, func(ctx context.Context, tx *sql.Tx, u contract.Undo[transfer, int]) error {
			return book(ctx, tx, u.Request.To, 0)
		})
		participant.Handle(p, settle, func(ctx context.Context, tx *sql.Tx, t transfer) (int, error) {
			if t.Refuse {
				return 0, participant.Reject("the account is closed")
			}
			return t.To, book(ctx, tx, t.To, t.Amount)
		})
		return p
	},
	"post": func(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
		p := participant.New("post", inbox, options...)
		participant.Handle(p, announce, func(ctx context.Context, tx *sql.Tx, t transfer) (int, error) {
			return t.To, book(ctx, tx, t.To, 0)
		})
		return p
	},
}

// participantNames in the order in which the audit reads them.
var participantNames = []string{"bank", "clearing", "post"}

// book moves an account by amount and writes a line under the idempotency key.
func book(ctx context.Context, tx *sql.Tx, account int, amount int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance + ? WHERE id = ?`, amount, account); err != nil {
		return err
	}
	key := participant.KeyFrom(ctx)
	_, err := tx.ExecContext(ctx, `INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)`,
		key.String(), string(key.Saga), string(key.Step), string(key.Direction), account, amount)
	return err
}
