package sqlinbox

import (
	"fmt"
	"strconv"
	"strings"
)

// Dialect is the SQL dialect of a database.
type Dialect int

// The supported dialects.
const (
	SQLite     Dialect = iota + 1 // modernc.org/sqlite and other drivers
	PostgreSQL                    // pgx/v5/stdlib, lib/pq
	MySQL                         // MySQL and MariaDB: go-sql-driver/mysql
)

// String returns the name of the database.
func (d Dialect) String() string {
	switch d {
	case SQLite:
		return "SQLite"
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

// statements holds an inbox's statements in its dialect.
type statements struct {
	insert, lock, update, prune string
}

const (
	columns = "do_outcome, do_answer, do_reason, undo_outcome, undo_answer, undo_reason, updated_ms"
	where   = " WHERE participant = ? AND saga = ? AND birth = ? AND step = ?"
)

func statementsFor(d Dialect, table string) statements {
	insert := "INSERT INTO " + table + " (participant, saga, birth, step) VALUES (?, ?, ?, ?) "
	s := statements{
		lock: "SELECT " + columns + " FROM " + table + where,
		update: "UPDATE " + table + " SET do_outcome = ?, do_answer = ?, do_reason = ?," +
			" undo_outcome = ?, undo_answer = ?, undo_reason = ?, updated_ms = ?" + where,
	}
	const old = " WHERE participant = ? AND updated_ms < ? ORDER BY updated_ms LIMIT ?"
	switch d {
	case SQLite:
		s.insert = insert + "ON CONFLICT DO NOTHING"
		s.prune = "DELETE FROM " + table + " WHERE rowid IN (SELECT rowid FROM " + table + old + ")"
	case PostgreSQL:
		s.insert = insert + "ON CONFLICT DO NOTHING"
		s.lock += " FOR UPDATE"
		// A locked entry is in use, so it is not old.
		s.prune = "DELETE FROM " + table + " WHERE (participant, saga, birth, step) IN" +
			" (SELECT participant, saga, birth, step FROM " + table + old + " FOR UPDATE SKIP LOCKED)"
	case MySQL:
		// INSERT IGNORE would take a shared lock on an existing row. Two transactions that then
		// upgrade the lock with FOR UPDATE would deadlock. This statement takes an exclusive lock.
		s.insert = insert + "ON DUPLICATE KEY UPDATE step = step"
		s.lock += " FOR UPDATE"
		s.prune = "DELETE FROM " + table + old
	}
	if d == PostgreSQL {
		s.insert, s.lock, s.update, s.prune = numbered(s.insert), numbered(s.lock), numbered(s.update), numbered(s.prune)
	}
	return s
}

// numbered replaces each ? by $1, $2 …
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

// DDL returns the statements that create an inbox's table in a dialect. They are idempotent.
// Migrate executes them.
func DDL(d Dialect, table string) []string {
	name, text, blob, index := "TEXT", "TEXT", "BLOB", ""
	switch d {
	case PostgreSQL:
		name, blob = `TEXT COLLATE "C"`, "BYTEA"
	case MySQL:
		// Saga ids are case-sensitive, but the default collations ignore case.
		name, blob = "VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin", "LONGBLOB"
		text = "TEXT CHARACTER SET utf8mb4"
		index = ",\n\tKEY updated (participant, updated_ms)"
	}
	create := fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %[1]s (
	participant  %[2]s NOT NULL,
	saga         %[2]s NOT NULL,
	birth        %[2]s NOT NULL,
	step         %[2]s NOT NULL,
	do_outcome   %[2]s,
	do_answer    %[4]s,
	do_reason    %[3]s,
	undo_outcome %[2]s,
	undo_answer  %[4]s,
	undo_reason  %[3]s,
	updated_ms   BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (participant, saga, birth, step)%[5]s
)`, table, name, text, blob, index)
	if d == MySQL {
		return []string{create + " ENGINE = InnoDB"}
	}
	indexName := strings.ReplaceAll(table, ".", "_") + "_updated"
	return []string{create, "CREATE INDEX IF NOT EXISTS " + indexName + " ON " + table + " (participant, updated_ms)"}
}
