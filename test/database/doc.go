// Package database runs the SQL inbox on PostgreSQL and on MySQL or MariaDB.
//
//	test/databases.sh start ──▶ servers on loopback ◀── sqlinbox, by sqltest.Run
//
// It holds tests only. A test is skipped if its variable (AMENDS_TEST_POSTGRES or
// AMENDS_TEST_MYSQL) names no server. A failure is a failed subtest with the name of the database.
package database
