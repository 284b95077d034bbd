package sqlinbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
)

// DefaultTable is the default table name.
const DefaultTable = "amends_inbox"

// Inbox stores entries in a table of a SQL database. Several participants and processes may share
// the table.
type Inbox struct {
	db         *sql.DB
	dialect    Dialect
	table      string
	tries      int
	txOptions  *sql.TxOptions
	statements statements
	writer     chan struct{} // only for SQLite; holds one element during an update
	problem    error
}

// Option sets an option of an inbox.
type Option func(*Inbox)

// Table sets the table name, which consists of letters, digits and underscores. In PostgreSQL and
// MySQL it may include a schema. The default is DefaultTable.
func Table(name string) Option { return func(i *Inbox) { i.table = name } }

// Isolation sets the isolation level of transactions. The default is the database's default level.
func Isolation(level sql.IsolationLevel) Option {
	return func(i *Inbox) { i.txOptions = &sql.TxOptions{Isolation: level} }
}

// Tries sets the maximum number of tries of a transaction that conflicts with another one
// (deadlock, serialization failure, busy). 0 means 8. The waits between tries increase from
// a few milliseconds to 250 ms.
func Tries(n int) Option { return func(i *Inbox) { i.tries = n } }

// New returns an inbox in a database. Before use, call Migrate, or create the table with the
// statements of DDL.
func New(db *sql.DB, dialect Dialect, opts ...Option) *Inbox {
	i := &Inbox{db: db, dialect: dialect, table: DefaultTable}
	for _, opt := range opts {
		opt(i)
	}
	i.tries = cmp.Or(i.tries, 8)
	switch {
	case db == nil:
		i.problem = errors.New("sqlinbox: the database is nil: pass the result of sql.Open to New")
	case dialect != SQLite && dialect != PostgreSQL && dialect != MySQL:
		i.problem = fmt.Errorf("sqlinbox: unknown dialect %d: use SQLite, PostgreSQL or MySQL", dialect)
	case i.tries < 0:
		i.problem = fmt.Errorf("sqlinbox: Tries is %d: use at least 1, or 0 for the default", i.tries)
	case !tableName.MatchString(i.table):
		i.problem = fmt.Errorf("sqlinbox: invalid table name %q: use letters, digits and underscores, optionally in the form schema.table", i.table)
	}
	if dialect == SQLite {
		i.writer = make(chan struct{}, 1)
	}
	i.statements = statementsFor(dialect, i.table)
	return i
}

var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*$`)

// Migrate creates the table and its index if they do not exist. Several processes may call it
// concurrently.
func (i *Inbox) Migrate(ctx context.Context) error {
	if i.problem != nil {
		return i.problem
	}
	for _, statement := range DDL(i.dialect, i.table) {
		err := i.retry(ctx, raced, func() error {
			_, err := i.db.ExecContext(ctx, statement)
			return err
		})
		if err != nil {
			return fmt.Errorf("sqlinbox: create table %s: %w", i.table, err)
		}
	}
	return nil
}

// Update implements participant.Inbox.
func (i *Inbox) Update(ctx context.Context, key participant.StepKey, work participant.Work[*sql.Tx]) error {
	if i.problem != nil {
		return i.problem
	}
	return i.retry(ctx, conflict, func() error { return i.update(ctx, key, work) })
}

func (i *Inbox) update(ctx context.Context, key participant.StepKey, work participant.Work[*sql.Tx]) error {
	done, err := i.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer done()
	tx, err := i.db.BeginTx(ctx, i.txOptions)
	if err != nil {
		return fmt.Errorf("begin the transaction: %w", err)
	}
	defer tx.Rollback() // without effect after a commit; the original error is more useful than Rollback's
	entry, err := i.lock(ctx, tx, key)
	if err != nil {
		return err
	}
	if err := i.work(ctx, tx, key, entry, work); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit the transaction: %w", err)
	}
	return nil
}

// takeTurn serializes the SQLite updates of this process.
func (i *Inbox) takeTurn(ctx context.Context) (done func(), err error) {
	if i.writer == nil {
		return func() {}, nil
	}
	select {
	case i.writer <- struct{}{}:
		return func() { <-i.writer }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lock inserts the entry if it is missing, and then locks and reads it.
func (i *Inbox) lock(ctx context.Context, tx *sql.Tx, key participant.StepKey) (e participant.Entry, err error) {
	if _, err := tx.ExecContext(ctx, i.statements.insert, key.Participant, string(key.Saga), key.Birth.String(), string(key.Step)); err != nil {
		return e, fmt.Errorf("lock the entry in table %s (Migrate creates the table): %w", i.table, err)
	}
	var do, undo stored
	var updated int64
	row := tx.QueryRowContext(ctx, i.statements.lock, key.Participant, string(key.Saga), key.Birth.String(), string(key.Step))
	if err := row.Scan(&do.outcome, &do.data, &do.reason, &undo.outcome, &undo.data, &undo.reason, &updated); err != nil {
		return e, fmt.Errorf("read the entry: %w", err)
	}
	e.Do, e.Undo = do.answer(), undo.answer()
	if updated != 0 {
		e.Updated = time.UnixMilli(updated).UTC()
	}
	return e, nil
}

const savepoint = "amends_work"

// work calls the function work in a savepoint and stores the entry that it returns.
func (i *Inbox) work(ctx context.Context, tx *sql.Tx, key participant.StepKey, entry participant.Entry, work participant.Work[*sql.Tx]) error {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT "+savepoint); err != nil {
		return fmt.Errorf("set the savepoint: %w", err)
	}
	next, keep, err := work(ctx, tx, entry)
	if err != nil {
		return err
	}
	// The savepoint is gone if the handler has ended the transaction. It is also gone if the
	// database has ended the transaction and the handler has ignored the error.
	end := "RELEASE SAVEPOINT "
	if !keep {
		end = "ROLLBACK TO SAVEPOINT "
	}
	if _, err := tx.ExecContext(ctx, end+savepoint); err != nil {
		return fmt.Errorf("the transaction ended inside the handler, which must not commit, roll back or ignore database errors: %w", err)
	}
	if next.Equal(entry) {
		return nil
	}
	do, undo := storedOf(next.Do), storedOf(next.Undo)
	result, err := tx.ExecContext(ctx, i.statements.update,
		do.outcome, do.data, do.reason, undo.outcome, undo.data, undo.reason, next.Updated.UnixMilli(),
		key.Participant, string(key.Saga), key.Birth.String(), string(key.Step))
	if err != nil {
		return fmt.Errorf("store the entry: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("store the entry: the number of changed rows is %d, not 1: %w", n, errors.Join(err, errEntryGone))
	}
	return nil
}

var errEntryGone = errors.New("the entry disappeared while it was locked")

// Prune implements participant.Inbox.
func (i *Inbox) Prune(ctx context.Context, participant string, before time.Time, limit int) (int, error) {
	if i.problem != nil {
		return 0, i.problem
	}
	var removed int64
	err := i.retry(ctx, conflict, func() error {
		done, err := i.takeTurn(ctx)
		if err != nil {
			return err
		}
		defer done()
		result, err := i.db.ExecContext(ctx, i.statements.prune, participant, before.UnixMilli(), limit)
		if err != nil {
			return err
		}
		removed, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sqlinbox: prune table %s: %w", i.table, err)
	}
	return int(removed), nil
}

// stored holds an answer's columns.
type stored struct {
	outcome, reason sql.NullString
	data            []byte
}

func storedOf(a participant.Answer) stored {
	return stored{
		outcome: sql.NullString{String: string(a.Outcome), Valid: a.Outcome != ""},
		reason:  sql.NullString{String: a.Reason, Valid: a.Reason != ""},
		data:    a.Data,
	}
}

func (s stored) answer() participant.Answer {
	return participant.Answer{Outcome: contract.Outcome(s.outcome.String), Data: s.data, Reason: s.reason.String}
}

var _ participant.Inbox[*sql.Tx] = (*Inbox)(nil)
