// Package database runs the SQL inbox on PostgreSQL and on MySQL or MariaDB.
//
//	test/databases.sh start ──▶ servers on loopback ◀── sqlinbox, by sqltest.Run
//
// It holds tests only. They skip where the variables AMENDS_TEST_POSTGRES and AMENDS_TEST_MYSQL
// name no server. Failure looks like a failed test below the name of the database.
package database
