//go:build linux && lab

package world

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // driver of the participants' databases

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/sqlinbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// Each participant has Accounts accounts with the balance Initial, and the account Penury.
const (
	Accounts = 16
	Initial  = 1_000_000_000
	Penury   = Accounts // the account without money
)

// Transfer is the input of a saga that moves money from an account of the bank to an account of the
// clearing house.
type Transfer struct {
	From    int    `json:"from"`
	To      int    `json:"to"`
	Amount  int64  `json:"amount"`
	Refuse  bool   `json:"refuse"`            // the pivot is rejected
	Lose    bool   `json:"lose,omitempty"`    // the undo of the first step fails permanently
	Padding string `json:"padding,omitempty"` // makes the input large
}

// The commands of the participants.
var (
	Reserve  = contract.NewCommand[Transfer, int]("bank", "reserve")
	Release  = contract.UndoOf(Reserve, "release")
	Earmark  = contract.NewCommand[Transfer, int]("clearing", "earmark")
	Forget   = contract.UndoOf(Earmark, "forget")
	Credit   = contract.NewCommand[Transfer, int]("clearing", "credit")
	Announce = contract.NewCommand[Transfer, int]("post", "announce")
)

// steps are the steps of a transfer, in order.
var steps = []contract.StepName{"reserve", "earmark", "credit", "announce"}

// DefineTransfer returns the definition of a transfer. All steps time out after timeout. The
// compensable steps give up after the given attempts, so that faults that last seconds make their
// outcomes unknown. The other steps never give up.
func DefineTransfer(timeout time.Duration, attempts int) *saga.Definition {
	return saga.MustDefine[Transfer]("transfer",
		saga.Timeout(timeout), saga.Retry(10_000, 50*time.Millisecond, 500*time.Millisecond),
		saga.Compensable("reserve", saga.Do(Reserve, saga.Retry(attempts, 0, 0)), saga.Undo(Release)),
		saga.Compensable("earmark", saga.Do(Earmark, saga.Retry(attempts, 0, 0)), saga.Undo(Forget)),
		saga.Pivot("credit", saga.Do(Credit)),
		saga.Retriable("announce", saga.Do(Announce)),
	)
}

// Participants lists the participants in the order in which the audit reads them.
var Participants = []string{"bank", "clearing", "post"}

// handlers registers the handlers of each participant.
var handlers = map[string]func(*participant.Participant[*sql.Tx]){
	"bank": func(p *participant.Participant[*sql.Tx]) {
		participant.Handle(p, Reserve, func(ctx context.Context, tx *sql.Tx, t Transfer) (int, error) {
			var balance int64
			if err := tx.QueryRowContext(ctx, `SELECT balance FROM account WHERE id = ?`, t.From).Scan(&balance); err != nil {
				return 0, err
			}
			if balance < t.Amount {
				return 0, participant.Reject("not enough money")
			}
			return t.From, book(ctx, tx, t.From, -t.Amount)
		})
		participant.HandleUndo(p, Release, func(ctx context.Context, tx *sql.Tx, u contract.Undo[Transfer, int]) error {
			if u.Request.Lose {
				return participant.Fatal(errors.New("the account is gone"))
			}
			return book(ctx, tx, u.Request.From, u.Request.Amount)
		})
	},
	"clearing": func(p *participant.Participant[*sql.Tx]) {
		participant.Handle(p, Earmark, func(ctx context.Context, tx *sql.Tx, t Transfer) (int, error) {
			return t.To, book(ctx, tx, t.To, 0)
		})
		participant.HandleUndo(p, Forget, func(ctx context.Context, tx *sql.Tx, u contract.Undo[Transfer, int]) error {
			return book(ctx, tx, u.Request.To, 0)
		})
		participant.Handle(p, Credit, func(ctx context.Context, tx *sql.Tx, t Transfer) (int, error) {
			if t.Refuse {
				return 0, participant.Reject("the account is closed")
			}
			return t.To, book(ctx, tx, t.To, t.Amount)
		})
	},
	"post": func(p *participant.Participant[*sql.Tx]) {
		participant.Handle(p, Announce, func(ctx context.Context, tx *sql.Tx, t Transfer) (int, error) {
			return t.To, book(ctx, tx, t.To, 0)
		})
	},
}

// book changes the balance of an account and writes a ledger line under the idempotency key.
func book(ctx context.Context, tx *sql.Tx, account int, amount int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance + ? WHERE id = ?`, amount, account); err != nil {
		return err
	}
	key := participant.KeyFrom(ctx)
	_, err := tx.ExecContext(ctx, `INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)`,
		key.String(), string(key.Saga), string(key.Step), string(key.Direction), account, amount)
	return err
}

// Service configures a running participant.
type Service struct {
	Name      string         // one of Participants
	Dir       string         // the directory of its database file
	Bus       natsbus.Config // its Logger is also the participant's
	Forgetful bool           // a planted bug: the inbox hides earlier answers
	Ready     func()         // called when the participant is about to take commands, if not nil
}

// Serve runs a participant until ctx ends.
func Serve(ctx context.Context, s Service) error {
	handle, known := handlers[s.Name]
	if !known {
		return fmt.Errorf("there is no participant %q", s.Name)
	}
	db, err := openBooks(ctx, s.Dir, s.Name)
	if err != nil {
		return err
	}
	defer db.Close()
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	if err := inbox.Migrate(ctx); err != nil {
		return err
	}
	var box participant.Inbox[*sql.Tx] = inbox
	if s.Forgetful {
		box = forgetful{inbox}
	}
	s.Bus.Name = s.Name
	bus, err := natsbus.Connect(ctx, s.Bus)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while connecting
		}
		return err
	}
	defer bus.Close()
	AwaitConsumer(ctx, bus, s.Name)
	if s.Ready != nil {
		s.Ready()
	}
	p := participant.New(s.Name, crashpoint.Wrap(box), participant.Logger(s.Bus.Logger), participant.AckWait(3*time.Second))
	handle(p)
	return p.Run(ctx, crashpoint.Wrap[transport.Bus](bus))
}

// AwaitConsumer waits a few seconds until a coordinator has created the participant's consumer.
// Otherwise, a participant that is stopped as soon as it is ready might not have begun to take
// commands.
func AwaitConsumer(ctx context.Context, bus *natsbus.Bus, name string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = bus.AskConsumer(ctx, name, api.SubscribeRequest{}) // the participant asks again when it runs
}

// forgetful is an inbox that hides earlier answers.
type forgetful struct{ *sqlinbox.Inbox }

// Update implements participant.Inbox.
func (f forgetful) Update(ctx context.Context, key participant.StepKey, work participant.Work[*sql.Tx]) error {
	return f.Inbox.Update(ctx, key, func(ctx context.Context, tx *sql.Tx, known participant.Entry) (participant.Entry, bool, error) {
		return work(ctx, tx, participant.Entry{Do: participant.Answer{}, Undo: known.Undo})
	})
}

// schema is the schema of every participant's books. It does not prevent a key from being booked
// twice.
var schema = fmt.Sprintf(`
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (
	key TEXT NOT NULL, saga TEXT NOT NULL, step TEXT NOT NULL, direction TEXT NOT NULL,
	account INTEGER NOT NULL, amount INTEGER NOT NULL);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
	INSERT OR IGNORE INTO account SELECT i, CASE WHEN i < %d THEN %d ELSE 0 END FROM n;`, Penury, Accounts, Initial)

// openBooks opens a participant's database. A commit is durable when it returns.
func openBooks(ctx context.Context, dir, name string) (*sql.DB, error) {
	file := filepath.Join(dir, name+".db")
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
