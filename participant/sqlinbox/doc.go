// Package sqlinbox keeps a participant's inbox in the service's own SQL database,
// in the transaction of the handler's writes: SQLite, PostgreSQL, MySQL, MariaDB,
// through database/sql.
//
//	BEGIN ─ insert the entry if it is absent ─ lock and read it ─ SAVEPOINT
//	      ─ work (the handler writes) ─┬─ keep: RELEASE SAVEPOINT
//	                                   └─ else: ROLLBACK TO SAVEPOINT
//	      ─ UPDATE the entry ─ COMMIT
//
// The inserted row is the lock: whoever wants the same entry waits until this
// transaction has ended, in whichever process. It keeps I5 at the isolation
// level that the database has by default, and at any higher one.
//
// One table, amends_inbox, serves any number of participants that share a
// database. Migrate creates it; DDL prints the statements for those who keep
// their schema elsewhere.
//
// # Databases
//
// SQLite has one writer at a time. The inbox lets the updates of its own process
// in one by one, so that they do not run into each other; towards other writers
// the database should have a busy timeout and write-ahead logging:
//
//	sql.Open("sqlite", "file:service.db?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
//
// With synchronous(NORMAL) in WAL mode a power cut may take back a commit whose
// answer was sent already. That breaks I5; leave it FULL.
//
// MySQL and MariaDB need InnoDB tables. The names in the table are compared byte
// by byte, whatever the collation of the database.
//
// It imports no driver: the service brings its own. It does not open or close the
// database, and does not set its pool; handlers at once times one connection is
// what it takes.
//
// Failure looks like an error that names the operation. Deadlocks, serialization
// failures and busy databases are tried again a few times first (Tries), with the
// handler called again each time. A handler that commits or rolls back itself is
// found out, and reported.
package sqlinbox
