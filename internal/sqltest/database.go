package sqltest

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

// Database describes a database on which the inbox is tested.
type Database struct {
	Dialect sqlinbox.Dialect
	Driver  string // name of a driver that the test has registered
	DSN     string
	Writers bool // whether the database supports several concurrent writers
}

// Run tests the inbox on the database.
func Run(t *testing.T, d Database) {
	t.Helper()
	tests := []struct {
		name    string
		run     func(*testing.T, Database)
		writers bool // whether the test needs several writers
	}{
		{"inbox", runInbox, false},
		{"isolation", isolation, true},
		{"migrate at once and again", migrate, false},
		{"deadlock", deadlock, true},
		{"handler ends the transaction", endedTransaction, false},
		{"hidden error", hiddenError, false},
		{"without migrate", withoutMigrate, false},
		{"shared by participants", shared, false},
		{"keys", keys, false},
	}
	for _, one := range tests {
		if d.Writers || !one.writers {
			t.Run(one.name, func(t *testing.T) { one.run(t, d) })
		}
	}
}

func (d Database) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.Driver, d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(20)
	t.Cleanup(func() { db.Close() })
	return db
}

// placeholder returns the placeholder of a statement's first parameter.
func (d Database) placeholder() string {
	if d.Dialect == sqlinbox.PostgreSQL {
		return "$1"
	}
	return "?"
}

// Inbox returns an inbox to test. Its tables are dropped after the test.
func (d Database) Inbox(t testing.TB, opts ...sqlinbox.Option) participanttest.Inbox[*sql.Tx] {
	t.Helper()
	db := d.open(t)
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
	inbox := sqlinbox.New(db, d.Dialect, opts...)
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
			return sqlinbox.New(d.open(t), d.Dialect, opts...)
		},
	}
}
