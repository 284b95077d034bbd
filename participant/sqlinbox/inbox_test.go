package sqlinbox_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/amends-dev/amends/internal/sqltest"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

// TestSQLite runs the conformance suite on SQLite (I5). Package test/database runs it on the other
// databases.
func TestSQLite(t *testing.T) {
	sqltest.Run(t, sqltest.Database{
		Dialect: sqlinbox.SQLite, Driver: "sqlite", DSN: "file:" + filepath.Join(t.TempDir(), "service.db") +
			"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)",
	})
}

// TestPlainSQLite runs the suite on a database without the recommended settings.
func TestPlainSQLite(t *testing.T) {
	plain := sqltest.Database{Dialect: sqlinbox.SQLite, Driver: "sqlite", DSN: "file:" + filepath.Join(t.TempDir(), "plain.db")}
	participanttest.RunInbox(t, plain.Inbox(t, sqlinbox.Tries(100)))
}

func TestProblems(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for want, inbox := range map[string]*sqlinbox.Inbox{
		"nil":         sqlinbox.New(nil, sqlinbox.SQLite),
		"dialect":     sqlinbox.New(db, 0),
		"Tries is -1": sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.Tries(-1)),
		"table name":  sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.Table("inbox; DROP TABLE orders")),
	} {
		_, pruneErr := inbox.Prune(t.Context(), "x", time.Time{}, 1)
		key := participant.StepKey{Participant: "service", Saga: "saga", Step: "step"}
		for _, err := range []error{inbox.Migrate(t.Context()), inbox.Update(t.Context(), key, nil), pruneErr} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("expected an error about %s, got %v", want, err)
			}
		}
	}
}
