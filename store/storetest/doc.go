// Package storetest is the conformance suite for stores. It includes a random test that compares
// each call with the same call to a model (memstore).
//
//	func TestStore(t *testing.T) { storetest.Run(t, func(t *testing.T) storetest.Harness { … }) }
//
// It also creates sagas for tests of stores (Start, Next, Reject, Park …). Their states, events and
// outbox entries are well-formed but built by hand, so that stores are tested without the saga
// logic.
//
// It tests the contract of package store: I1 (atomic commits, also across a crash), I2
// (tombstones), I7 (exactly one of several conflicting writers succeeds), I10 (pages and cursors).
//
// A violation fails a test that names the rule.
package storetest
