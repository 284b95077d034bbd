package sqlinbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

// database is a server under test: how to open it, and its dialect.
type database struct {
	dialect sqlinbox.Dialect
	driver  string
	dsn     func(t testing.TB) string
}

var databases = []database{
	{sqlinbox.SQLite, "sqlite", func(t testing.TB) string {
		return "file:" + filepath.Join(t.TempDir(), "service.db") +
			"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}},
	{sqlinbox.PostgreSQL, "pgx", fromEnvironment("AMENDS_TEST_POSTGRES")},
	{sqlinbox.MySQL, "mysql", fromEnvironment("AMENDS_TEST_MYSQL")},
}

func fromEnvironment(name string) func(testing.TB) string {
	return func(t testing.TB) string {
		dsn := os.Getenv(name)
		if dsn == "" {
			t.Skipf("%s is not set; test/databases.sh start prints it", name)
		}
		return dsn
	}
}

// servers are the databases that serve several writers at once.
var servers = databases[1:]

// each runs a test on every one of the databases.
func each(t *testing.T, databases []database, test func(t *testing.T, d database, dsn string)) {
	for _, d := range databases {
		t.Run(d.dialect.String(), func(t *testing.T) {
			test(t, d, d.dsn(t))
		})
	}
}

func (d database) open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(20)
	t.Cleanup(func() { db.Close() })
	return db
}

// placeholder is the first parameter in a statement.
func (d database) placeholder() string {
	if d.dialect == sqlinbox.PostgreSQL {
		return "$1"
	}
	return "?"
}

// fixture is an inbox under test, on tables that are dropped afterwards.
func (d database) fixture(t testing.TB, dsn string, opts ...sqlinbox.Option) participanttest.Inbox[*sql.Tx] {
	t.Helper()
	db := d.open(t, dsn)
	suffix := strings.ReplaceAll(uuid.NewString()[:13], "-", "_")
	table, counters := "inbox_"+suffix, "counter_"+suffix
	if _, err := db.Exec("CREATE TABLE " + counters + " (name VARCHAR(200) NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range []string{table, counters} {
			if _, err := db.Exec("DROP TABLE " + name); err != nil {
				t.Error(err)
			}
		}
	})
	opts = append([]sqlinbox.Option{sqlinbox.Table(table)}, opts...)
	inbox := sqlinbox.New(db, d.dialect, opts...)
	if err := inbox.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return participanttest.Inbox[*sql.Tx]{
		Inbox: inbox,
		Add: func(ctx context.Context, tx *sql.Tx, counter string) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO "+counters+" (name) VALUES ("+d.placeholder()+")", counter)
			return err
		},
		Count: func(t testing.TB, counter string) (n int) {
			t.Helper()
			if err := db.QueryRow("SELECT count(*) FROM "+counters+" WHERE name = "+d.placeholder(), counter).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		},
		Open: func(t testing.TB) participant.Inbox[*sql.Tx] {
			return sqlinbox.New(d.open(t, dsn), d.dialect, opts...)
		},
	}
}

// TestInbox runs the law on every database (I5).
func TestInbox(t *testing.T) {
	each(t, databases, func(t *testing.T, d database, dsn string) {
		participanttest.RunInbox(t, d.fixture(t, dsn))
	})
}

// TestIsolation runs the law where conflicts are found late and have to be
// tried again.
func TestIsolation(t *testing.T) {
	each(t, servers, func(t *testing.T, d database, dsn string) {
		participanttest.RunInbox(t, d.fixture(t, dsn, sqlinbox.Isolation(sql.LevelSerializable), sqlinbox.Tries(40)))
	})
}

// TestPlainSQLite runs the law on a database that was opened without any of the
// recommended settings.
func TestPlainSQLite(t *testing.T) {
	participanttest.RunInbox(t, databases[0].fixture(t, "file:"+filepath.Join(t.TempDir(), "plain.db"), sqlinbox.Tries(100)))
}

func TestMigrateAtOnceAndAgain(t *testing.T) {
	each(t, databases, func(t *testing.T, d database, dsn string) {
		table := "inbox_" + strings.ReplaceAll(uuid.NewString()[:13], "-", "_")
		db := d.open(t, dsn)
		t.Cleanup(func() { _, _ = db.Exec("DROP TABLE " + table) })
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := sqlinbox.New(db, d.dialect, sqlinbox.Table(table)).Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// TestDeadlock has two handlers lock the same two rows in opposite order. The
// database ends one of them; the inbox runs it again, and both are done.
func TestDeadlock(t *testing.T) {
	each(t, servers, func(t *testing.T, d database, dsn string) {
		fixture, db := d.fixture(t, dsn), d.open(t, dsn)
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
	})
}

// TestHandlerEndsTransaction: the handler's mistake is reported, and no answer is
// recorded as if all were well.
func TestHandlerEndsTransaction(t *testing.T) {
	each(t, databases, func(t *testing.T, d database, dsn string) {
		fixture := d.fixture(t, dsn)
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
	})
}

// TestHiddenError: a handler that hides an error of the database from the inbox
// must not have its answer recorded while its writes are lost.
func TestHiddenError(t *testing.T) {
	each(t, databases, func(t *testing.T, d database, dsn string) {
		fixture, counter := d.fixture(t, dsn), uuid.NewString()
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
	})
}

func TestWithoutMigrate(t *testing.T) {
	each(t, databases, func(t *testing.T, d database, dsn string) {
		inbox := sqlinbox.New(d.open(t, dsn), d.dialect, sqlinbox.Table("never_created"))
		err := inbox.Update(t.Context(), stepKey(), func(_ context.Context, _ *sql.Tx, e participant.Entry) (participant.Entry, bool, error) {
			t.Error("the work was called")
			return e, true, nil
		})
		if err == nil || !strings.Contains(err.Error(), "Migrate") {
			t.Errorf("the error does not say what to do: %v", err)
		}
	})
}

func TestProblems(t *testing.T) {
	db := databases[0].open(t, databases[0].dsn(t))
	for want, inbox := range map[string]*sqlinbox.Inbox{
		"nil":        sqlinbox.New(nil, sqlinbox.SQLite),
		"dialect":    sqlinbox.New(db, 0),
		"table name": sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.Table("inbox; DROP TABLE orders")),
	} {
		_, pruneErr := inbox.Prune(t.Context(), "x", time.Time{}, 1)
		for _, err := range []error{inbox.Migrate(t.Context()), inbox.Update(t.Context(), stepKey(), nil), pruneErr} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("expected an error about %s, got %v", want, err)
			}
		}
	}
}

func TestSharedByParticipants(t *testing.T) {
	each(t, databases, func(t *testing.T, d database, dsn string) {
		fixture := d.fixture(t, dsn)
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
	})
}

func stepKey() participant.StepKey {
	return participant.StepKey{Participant: "service", Saga: contract.SagaID("saga-" + uuid.NewString()), Step: "step"}
}

func completed(e participant.Entry) participant.Entry {
	e.Do = participant.Answer{Outcome: contract.OutcomeCompleted, Data: []byte(`{}`)}
	e.Updated = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	return e
}

// TestKeys: the statements of docs/OPERATING.md give the keys of what took effect and of
// what was taken back, in the spelling of contract.Key, and of nothing else.
func TestKeys(t *testing.T) {
	page, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	statements := regexp.MustCompile("(?s)```sql\n(SELECT (saga|CONCAT)[^`]*)```").FindAllSubmatch(page, -1)
	if len(statements) != 2 {
		t.Fatalf("docs/OPERATING.md has %d statements, want one for SQLite and PostgreSQL and one for MySQL", len(statements))
	}
	each(t, databases, func(t *testing.T, d database, dsn string) {
		db := d.open(t, dsn)
		table := "inbox_" + strings.ReplaceAll(uuid.NewString()[:13], "-", "_")
		inbox := sqlinbox.New(db, d.dialect, sqlinbox.Table(table))
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
		if d.dialect == sqlinbox.MySQL {
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
	})
}
