package database_test

import (
	"os"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/amends-dev/amends/internal/sqltest"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

// TestInbox runs the conformance tests of the SQL inbox on every server (I5).
func TestInbox(t *testing.T) {
	for variable, d := range map[string]sqltest.Database{
		"AMENDS_TEST_POSTGRES": {Dialect: sqlinbox.PostgreSQL, Driver: "pgx", Writers: true},
		"AMENDS_TEST_MYSQL":    {Dialect: sqlinbox.MySQL, Driver: "mysql", Writers: true},
	} {
		t.Run(d.Dialect.String(), func(t *testing.T) {
			if d.DSN = os.Getenv(variable); d.DSN == "" {
				t.Skipf("%s is not set; test/databases.sh start prints it", variable)
			}
			sqltest.Run(t, d)
		})
	}
}
