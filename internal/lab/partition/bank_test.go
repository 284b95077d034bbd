//go:build linux && lab

package partition

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite" // the bank's database

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/sqlinbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport/natsbus"
)

// The money of the bank on the first day, in every account of it.
const (
	accounts = 16
	initial  = 1_000_000_000
)

// transfer is the input of a saga: move money from one account to another.
type transfer struct {
	From    int    `json:"from"`
	To      int    `json:"to"`
	Amount  int64  `json:"amount"`
	Refuse  bool   `json:"refuse"`            // the pivot says no
	Lose    bool   `json:"lose,omitempty"`    // the undo of the first step fails for good
	Padding string `json:"padding,omitempty"` // makes it large
}

// The commands. Two participants live in one process and share a database, which
// makes the money one sum.
var (
	reserve  = contract.NewCommand[transfer, int]("bank", "reserve")
	release  = contract.UndoOf(reserve, "release")
	settle   = contract.NewCommand[transfer, int]("clearing", "settle")
	announce = contract.NewCommand[transfer, int]("bank", "announce")
)

// transferMoney makes outcomes unknown under faults of seconds, and beyond the
// first step never gives up.
var transferMoney = saga.MustDefine[transfer]("transfer",
	saga.Timeout(2*time.Second), saga.Retry(10_000, 50*time.Millisecond, 500*time.Millisecond),
	saga.Compensable("reserve", saga.Do(reserve, saga.Retry(3, 0, 0)), saga.Undo(release)),
	saga.Pivot("settle", saga.Do(settle)),
	saga.Retriable("announce", saga.Do(announce)),
)

// steps of the transfer.
var steps = []string{"reserve", "settle", "announce"}

// schema of the books. Nothing keeps a key from being booked twice, for that is
// what the audit looks for.
var schema = fmt.Sprintf(`
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (
	key TEXT NOT NULL, saga TEXT NOT NULL, step TEXT NOT NULL, direction TEXT NOT NULL,
	account INTEGER NOT NULL, amount INTEGER NOT NULL);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
	INSERT OR IGNORE INTO account SELECT i, %d FROM n;`, accounts-1, initial)

func bank(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
	p := participant.New("bank", inbox, options...)
	participant.Handle(p, reserve, func(ctx context.Context, tx *sql.Tx, t transfer) (int, error) {
		return t.From, book(ctx, tx, t.From, -t.Amount)
	})
	participant.HandleUndo(p, release, func(ctx context.Context, tx *sql.Tx, u contract.Undo[transfer, int]) error {
		if u.Request.Lose {
			return participant.Fatal(errors.New("the account is gone"))
		}
		return book(ctx, tx, u.Request.From, u.Request.Amount)
	})
	participant.Handle(p, announce, func(ctx context.Context, tx *sql.Tx, t transfer) (int, error) {
		return t.To, book(ctx, tx, t.To, 0)
	})
	return p
}

func clearing(inbox participant.Inbox[*sql.Tx], options ...participant.Option) *participant.Participant[*sql.Tx] {
	p := participant.New("clearing", inbox, options...)
	participant.Handle(p, settle, func(ctx context.Context, tx *sql.Tx, t transfer) (int, error) {
		if t.Refuse {
			return 0, participant.Reject("the account is closed")
		}
		return t.To, book(ctx, tx, t.To, t.Amount)
	})
	return p
}

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

// playBank runs the two participants, each with a connection of its own.
func playBank(ctx context.Context, p part) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := openBooks(ctx, p.Dir)
	if err != nil {
		return err
	}
	defer db.Close()
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	if err := inbox.Migrate(ctx); err != nil {
		return err
	}
	var box participant.Inbox[*sql.Tx] = inbox
	if p.Forgets {
		box = forgetful{inbox}
	}
	g, ctx := errgroup.WithContext(ctx)
	for name, build := range map[string]func(participant.Inbox[*sql.Tx], ...participant.Option) *participant.Participant[*sql.Tx]{
		"bank": bank, "clearing": clearing,
	} {
		bus, err := natsbus.Connect(ctx, natsbus.Config{URL: p.URL, Name: name, Replicas: p.Replicas, Logger: logger})
		if err != nil {
			return err
		}
		defer bus.Close()
		g.Go(func() error {
			return build(box, participant.Logger(logger), participant.AckWait(3*time.Second)).Run(ctx, bus)
		})
	}
	if err := os.WriteFile(filepath.Join(p.Dir, "ready"), nil, 0o600); err != nil {
		return err
	}
	return g.Wait()
}

// forgetful is the planted bug: an inbox that shows nobody what was answered
// before.
type forgetful struct{ *sqlinbox.Inbox }

func (f forgetful) Update(ctx context.Context, key participant.StepKey, work participant.Work[*sql.Tx]) error {
	return f.Inbox.Update(ctx, key, func(ctx context.Context, tx *sql.Tx, known participant.Entry) (participant.Entry, bool, error) {
		return work(ctx, tx, participant.Entry{Do: participant.Answer{}, Undo: known.Undo})
	})
}

// openBooks opens the bank's database. A commit is on disk when it returns.
func openBooks(ctx context.Context, dir string) (*sql.DB, error) {
	file := filepath.Join(dir, "bank.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("apply the schema to %s: %w", file, err)
	}
	return db, nil
}
