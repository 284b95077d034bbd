// Package sqlinbox stores a participant's inbox in the service's own SQL database, in the
// transaction of the handler's writes. It supports SQLite, PostgreSQL, MySQL and MariaDB through
// database/sql.
//
//	BEGIN ─ insert the entry if it is absent ─ lock and read it ─ SAVEPOINT
//	      ─ work (the handler writes) ─┬─ keep: RELEASE SAVEPOINT
//	                                   └─ else: ROLLBACK TO SAVEPOINT
//	      ─ UPDATE the entry ─ COMMIT
//
// The inserted row is the lock: other transactions for the same entry, in any process, wait until
// this one has ended. That keeps I5 at the database's default isolation level and at every higher
// one.
//
// One table, amends_inbox, serves any number of participants in a database. Migrate creates it; DDL
// returns the statements for services that manage their schema otherwise.
//
// # Databases
//
// SQLite has one writer at a time. The inbox serialises the updates of its own process, so that
// they do not conflict. For other writers, set a busy timeout and write-ahead logging:
//
//	sql.Open("sqlite", "file:service.db?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
//
// With synchronous(NORMAL) in WAL mode, a power failure may undo a commit whose answer was already
// sent. That breaks I5; use FULL.
//
// MySQL and MariaDB need InnoDB tables. Names in the table are compared byte by byte, whatever the
// collation of the database.
//
// It imports no driver; the service brings its own. It does not open, close or configure the
// database; it needs one connection for each concurrent handler.
//
// A failure shows as an error that names the operation. Deadlocks, serialization failures and busy
// databases are retried first (Tries), with the handler called again each time. A handler that
// commits or rolls back the transaction itself is detected and reported.
package sqlinbox
