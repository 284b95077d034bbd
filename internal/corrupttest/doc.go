// Package corrupttest damages a store as a failing disk does, for tests of what is seen of it
// then, and by whom. It does not repair, and nothing but tests uses it.
//
//	sagas.db ──▶ corrupttest.Saga("order-1") ──▶ boltstore.Open, coordinator, verify, console
//
// Invariant: exactly the saga that was named cannot be read afterwards; the file opens,
// and the other saga is as it was. Failure looks like an error that says which saga was
// not found in the file.
package corrupttest
