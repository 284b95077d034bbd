// Package sqlinbox stores a participant's inbox in the service's own SQL database, in the same
// transaction as the handler's writes. It supports SQLite, PostgreSQL, MySQL and MariaDB through
// database/sql.
//
//	BEGIN ─ insert the entry if it is absent ─ lock and read it ─ SAVEPOINT
//	      ─ work (the handler writes) ─┬─ keep: RELEASE SAVEPOINT
//	                                   └─ else: ROLLBACK TO SAVEPOINT
//	      ─ UPDATE the entry ─ COMMIT
//
// The inserted row is the lock. Transactions for the same entry, in any process, wait until the
// current one has ended. This keeps I5 at the database's default isolation level and at all higher
// levels.
//
// The table amends_inbox serves several participants in a database. Migrate creates it. DDL returns
// the statements of Migrate for services that manage their schema themselves.
//
// # Databases
//
// SQLite allows one writer at a time. The inbox serializes the updates of its own process, so that
// they do not conflict. If there are other writers, set a busy timeout and write-ahead logging:
//
//	sql.Open("sqlite", "file:service.db?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
//
// With synchronous(NORMAL) in WAL mode, a power failure may undo a commit whose answer was already
// sent. That violates I5, so use FULL.
//
// MySQL and MariaDB need InnoDB tables. Names in the table are compared byte by byte, whatever the
// collation of the database is.
//
// The package imports no driver; the service imports one. It does not open, close or configure the
// database. It needs one connection for each concurrent handler.
//
// Errors name the operation. Deadlocks, serialization failures and busy databases are retried first
// (Tries), and each try calls the handler again. A handler that commits or rolls back the
// transaction itself is detected and reported.
package sqlinbox
