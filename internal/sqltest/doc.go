// Package sqltest is the test suite of the SQL inbox for all databases.
//
//	sqlinbox's own tests ── SQLite ─────────────┐
//	test/database ── PostgreSQL, MySQL/MariaDB ─┴──▶ Run ──▶ sqlinbox on a Database
//
// It is only for tests. It imports no driver, so that the tests of this module need only the driver
// of SQLite. The parent of a failed test names the database.
package sqltest
