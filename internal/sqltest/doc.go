// Package sqltest is what the SQL inbox has to do on every database.
//
//	sqlinbox's own tests ── SQLite ─────────────┐
//	test/database ── PostgreSQL, MySQL/MariaDB ─┴──▶ Run ──▶ sqlinbox on a Database
//
// It takes in no driver, so that this module needs none for its tests but SQLite's. It is for
// tests alone. Failure looks like a failed test that names the database by its parent.
package sqltest
