// Package corrupttest damages a store as a failing disk does, for tests of how the damage is
// reported. It repairs nothing, and only tests use it.
//
//	sagas.db ──▶ corrupttest.Saga("order-1") ──▶ boltstore.Open, coordinator, verify, console
//
// Afterwards exactly the named saga cannot be read: the file opens, and the other saga is
// unchanged. A failure is an error that names the saga that was not found in the file.
package corrupttest
