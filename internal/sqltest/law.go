package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

// runInbox runs the conformance suite of inboxes (I5).
func runInbox(t *testing.T, d Database) {
	participanttest.RunInbox(t, d.Inbox(t))
}

// isolation runs the suite at the isolation level serializable, where conflicts are detected late
// and transactions must be retried.
func isolation(t *testing.T, d Database) {
	participanttest.RunInbox(t, d.Inbox(t, sqlinbox.Isolation(sql.LevelSerializable), sqlinbox.Tries(40)))
}

func migrate(t *testing.T, d Database) {
	table := "inbox_" + strings.ReplaceAll(uuid.NewString()[:13], "-", "_")
	db := d.open(t)
	t.Cleanup(func() { _, _ = db.Exec("DROP TABLE " + table) })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := sqlinbox.New(db, d.Dialect, sqlinbox.Table(table)).Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// deadlock runs two handlers that lock the same two rows in opposite order. The database aborts one
// of the transactions. The inbox retries it, and both complete.
func deadlock(t *testing.T, d Database) {
	fixture, db := d.Inbox(t), d.open(t)
	rows := "rows_" + strings.ReplaceAll(uuid.NewString()[:13], "-", "_")
	for _, statement := range []string{
		"CREATE TABLE " + rows + " (id INT PRIMARY KEY, n INT NOT NULL)",
		"INSERT INTO " + rows + " VALUES (1, 0), (2, 0)",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _, _ = db.Exec("DROP TABLE " + rows) })

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	bump := func(tx *sql.Tx, id int) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET n = n + 1 WHERE id = %d", rows, id))
		return err
	}
	var both, all sync.WaitGroup
	both.Add(2)
	var calls [2]int
	for i, order := range [][2]int{{1, 2}, {2, 1}} {
		all.Go(func() {
			err := fixture.Inbox.Update(ctx, stepKey(), func(_ context.Context, tx *sql.Tx, e participant.Entry) (participant.Entry, bool, error) {
				calls[i]++
				if err := bump(tx, order[0]); err != nil {
					return e, false, err
				}
				if calls[i] == 1 {
					both.Done()
					both.Wait()
				}
				return completed(e), true, bump(tx, order[1])
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if calls[0]+calls[1] < 3 {
		t.Errorf("the handlers were called %v times: there was no deadlock", calls)
	}
	for id := 1; id <= 2; id++ {
		var n int
		if err := db.QueryRow(fmt.Sprintf("SELECT n FROM %s WHERE id = %d", rows, id)).Scan(&n); err != nil || n != 2 {
			t.Errorf("row %d was changed %d times (%v), expected 2", id, n, err)
		}
	}
}

// endedTransaction: a handler that ends the transaction gets an error, and no answer is recorded.
func endedTransaction(t *testing.T, d Database) {
	fixture := d.Inbox(t)
	for name, end := range map[string]func(*sql.Tx) error{
		"commit": (*sql.Tx).Commit, "roll back": (*sql.Tx).Rollback,
	} {
		err := fixture.Inbox.Update(t.Context(), stepKey(), func(_ context.Context, tx *sql.Tx, e participant.Entry) (participant.Entry, bool, error) {
			return completed(e), true, end(tx)
		})
		if !errors.Is(err, sql.ErrTxDone) || !strings.Contains(err.Error(), "must not commit") {
			t.Errorf("%s in a handler: %v", name, err)
		}
	}
}

// hiddenError: a handler hides a database error from the inbox. Its answer must not be recorded,
// because its writes are lost.
func hiddenError(t *testing.T, d Database) {
	fixture, counter := d.Inbox(t), uuid.NewString()
	err := fixture.Inbox.Update(t.Context(), stepKey(), func(ctx context.Context, tx *sql.Tx, e participant.Entry) (participant.Entry, bool, error) {
		if err := fixture.Add(ctx, tx, counter); err != nil {
			return e, false, err
		}
		_, _ = tx.ExecContext(ctx, "INSERT INTO no_such_table VALUES (1)")
		return completed(e), true, nil
	})
	stayed := fixture.Count(t, counter) == 1
	if recorded := err == nil; recorded != stayed {
		t.Errorf("answer recorded: %v, writes stayed: %v", recorded, stayed)
	}
}

func withoutMigrate(t *testing.T, d Database) {
	inbox := sqlinbox.New(d.open(t), d.Dialect, sqlinbox.Table("never_created"))
	err := inbox.Update(t.Context(), stepKey(), func(_ context.Context, _ *sql.Tx, e participant.Entry) (participant.Entry, bool, error) {
		t.Error("the work function was called although the table does not exist")
		return e, true, nil
	})
	if err == nil || !strings.Contains(err.Error(), "Migrate") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

func shared(t *testing.T, d Database) {
	fixture := d.Inbox(t)
	one, two := stepKey(), stepKey()
	two.Participant, two.Saga = "other", one.Saga
	for _, key := range []participant.StepKey{one, two} {
		called := false
		err := fixture.Inbox.Update(t.Context(), key, func(_ context.Context, _ *sql.Tx, e participant.Entry) (participant.Entry, bool, error) {
			called = e.Do.None()
			return completed(e), true, nil
		})
		if err != nil || !called {
			t.Errorf("%v: %v, found nothing recorded: %v", key, err, called)
		}
	}
}

// keys: the statements in docs/OPERATING.md return the keys of steps that took effect or were
// undone, formatted like contract.Key, and no others.
func keys(t *testing.T, d Database) {
	page, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	statements := regexp.MustCompile("(?s)```sql\n(SELECT (saga|CONCAT)[^`]*)```").FindAllSubmatch(page, -1)
	if len(statements) != 2 {
		t.Fatalf("docs/OPERATING.md has %d statements, want one for SQLite and PostgreSQL and one for MySQL", len(statements))
	}
	db := d.open(t)
	table := "inbox_" + strings.ReplaceAll(uuid.NewString()[:13], "-", "_")
	inbox := sqlinbox.New(db, d.Dialect, sqlinbox.Table(table))
	if err := inbox.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.Exec("DROP TABLE " + table) })
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	completed := participant.Answer{Outcome: contract.OutcomeCompleted}
	for n, entry := range []participant.Entry{
		{Do: completed},
		{Do: completed, Undo: completed},
		{Do: participant.Answer{Outcome: contract.OutcomeRejected, Reason: "no"}},
		{Do: participant.Answer{Outcome: participant.Tombstone}, Undo: completed},
	} {
		entry.Updated = noon
		key := participant.StepKey{Participant: "service", Saga: contract.SagaID(fmt.Sprint("Order-", n)), Birth: contract.BirthOf(noon), Step: "reserve"}
		err := inbox.Update(t.Context(), key, func(context.Context, *sql.Tx, participant.Entry) (participant.Entry, bool, error) {
			return entry, true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	statement := statements[0]
	if d.Dialect == sqlinbox.MySQL {
		statement = statements[1]
	}
	rows, err := db.Query(strings.Replace(string(statement[1]), sqlinbox.DefaultTable, table, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var told []string
	for rows.Next() {
		var key string
		var at int64
		if err := rows.Scan(&key, &at); err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprint(key, " ", at))
	}
	slices.Sort(told)
	want := []string{"Order-0/hod85snpc0/reserve/do 1795262400000", "Order-1/hod85snpc0/reserve/undo 1795262400000"}
	if err := rows.Err(); err != nil || !slices.Equal(told, want) {
		t.Errorf("told are %q, %v; want %q", told, err, want)
	}
}

func stepKey() participant.StepKey {
	return participant.StepKey{Participant: "service", Saga: contract.SagaID("saga-" + uuid.NewString()), Step: "step"}
}

func completed(e participant.Entry) participant.Entry {
	e.Do = participant.Answer{Outcome: contract.OutcomeCompleted, Data: []byte(`{}`)}
	e.Updated = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	return e
}
