// Package storetest is the conformance suite for stores. It includes a random test that compares a
// store with the model (memstore) call by call.
//
//	func TestStore(t *testing.T) { storetest.Run(t, func(t *testing.T) storetest.Harness { … }) }
//
// It also creates sagas for tests of stores (Start, Next, Reject, Park …): well-formed states,
// events and outbox entries, built by hand so that stores are tested without the saga logic.
//
// It tests the contract of package store: I1 (atomic commits, also across a crash), I2
// (tombstones), I7 (of conflicting writers one succeeds), I10 (pages and cursors).
//
// A failure shows as a failed test that names the rule.
package storetest
